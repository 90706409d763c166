"""A run that copies says names that it has never seen."""

import json
import math
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from toy_pairs import OPTIONS, as_arguments
from untrained_runs import untrained

from attentio.runs.load import load
from attentio.text.tokenizer import Tokenizer


def write_names(path: Path, *, count: int, seed: int) -> Path:
    """Who did what before whom, turned round; every name is new."""
    draw = random.Random(seed)
    lines = []
    for _ in range(count):
        first, second = ("".join(draw.choices("abcdefghijklmnop", k=6)) for _ in range(2))
        verb = draw.choice(["came", "went", "sang"])
        lines.append(f"{first} {verb} before {second}\t{second} {verb} after {first}\n")
    path.write_text("".join(lines), encoding="utf-8")
    return path


def exact(attentio: Callable, tmp_path: Path, seed: int, **options: object) -> float:
    run = tmp_path / "run"
    data = {"data.train": write_names(tmp_path / "train.tsv", count=1000, seed=seed), "data.test": "null"}
    data |= {"data.dev": write_names(tmp_path / "dev.tsv", count=100, seed=seed + 1), "training.seed": seed}
    sizes = {f"text.{side}.{key}": value for side in ("source", "target") for key, value in WORDS.items()}
    steps = {"training.max_steps": 90, "training.validate_every": 90, "training.samples": 0}
    arguments = as_arguments(OPTIONS | data | sizes | steps | options)
    assert attentio("train", "luong", "--run", run, *arguments).code == 0
    assert attentio("evaluate", run, "--beam", 2).code == 0
    scores = json.loads((run / "evaluation" / "scores.json").read_text())["scores"]
    return {score["name"]: score["value"] for score in scores}["exact"]


WORDS = {"tokenizer": "whitespace", "vocab_size": 10}


def test_names_never_seen_are_carried_over(attentio: Callable, tmp_path: Path, training_seed: int) -> None:
    options = {"model.copy": "true", "model.input_feeding": "false"}
    assert exact(attentio, tmp_path, training_seed, **options) >= 95
    run = load(tmp_path / "run")
    text = "Zoë sang before Ümit"
    (best,) = run.translate([text])
    assert (best.text, best.source_tokens) == ("Ümit sang after Zoë", [*text.split(), "</s>"])
    assert best.copied is not None
    assert [share > 0.5 for share in best.copied[:1] + best.copied[3:4]] == [True, True]
    assert [each.text for each in best.unknown] == ["Zoë", "Ümit"]
    (scored,) = run.score([(text, best.text)])
    torch.testing.assert_close(scored.log_probs, best.log_probs, atol=1e-4, rtol=0)
    assert scored.tokens == best.tokens
    (aligned,) = run.align([(text, best.text)])
    torch.testing.assert_close(aligned.attention, best.attention)
    assert "Ümit" in run.inspect(text).page().html
    (output,) = json.loads(attentio("translate", tmp_path / "run", "--json", given=text.encode()).out)["outputs"]
    assert output["text"] == best.text
    torch.testing.assert_close([token["copied"] for token in output["tokens"]], best.copied, atol=1e-4, rtol=0)


def test_of_a_target_only_what_cannot_be_copied_is_unknown(seed: int) -> None:
    run = untrained(tokenizer=Tokenizer.train(["a b"], kind="whitespace"), attention="luong", copy=True)
    source, target = run.unknown_in_pair("a x", "x b zz")
    assert [one.text for one in source] == ["x"]
    assert [one.text for one in target] == ["zz"]
    without = untrained(tokenizer=Tokenizer.train(["a b"], kind="whitespace"), attention="luong")
    assert [one.text for one in without.unknown_in_pair("a x", "x b zz")[1]] == ["x", "zz"]


def test_texts_with_and_without_unknown_words_are_translated_alike_alone_and_together(seed: int) -> None:
    tokenizer = Tokenizer.train(["a b c d e"], kind="whitespace")
    run = untrained(tokenizer=tokenizer, attention="bahdanau", copy=True, coverage=True)
    texts = ["a x y b", "c", "x d z y w e"]
    for together, text in zip(run.candidates(texts, n_best=2, beam=3), texts, strict=True):
        (alone,) = run.candidates([text], n_best=2, beam=3)
        assert [one.text for one in alone] == [one.text for one in together]
        torch.testing.assert_close(alone[0].attention, together[0].attention)


def test_what_only_other_sources_have_is_unknown_in_training_and_scoring(attentio: Callable, tmp_path: Path) -> None:
    train, dev, run = tmp_path / "train.tsv", tmp_path / "dev.tsv", tmp_path / "run"
    train.write_text("Zoë sang\tit was Zoë\n" + "red cat sang\tit was red\ncat dog sang\tit was dog\n" * 4)
    dev.write_text("sang\tit was cat\nZoë sang\tit was dog\nsang sang\tit was dog\n")
    sizes = {f"text.{side}.tokenizer": "whitespace" for side in ("source", "target")}
    sizes |= {"text.source.vocab_size": 8, "text.target.vocab_size": 6, "model.copy": "true", "training.warmup": 1}
    options = {"data.train": train, "data.dev": dev, "training.max_steps": 2, "training.validate_every": 1}
    said = attentio("train", "luong", "--run", run, *as_arguments({**sizes, **options}))
    assert said.code == 0, said.err
    losses = [row.split(",")[7] for row in (run / "metrics.csv").read_text().splitlines()[1:]]
    assert all(math.isfinite(float(loss)) for loss in losses), losses
    (alone,), (first, _) = (
        load(run).score(pairs)
        for pairs in ([("sang", "it was cat")], [("sang", "it was cat"), ("Zoë sang", "it was Zoë")])
    )
    assert math.isfinite(alone.log_prob)
    assert first.log_probs == pytest.approx(alone.log_probs, abs=1e-4)
    assert "'cat' (line 1, target, character 8)" in attentio("score", run, given=b"sang\tit was cat\n").err

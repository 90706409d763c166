"""Runs of an edit transducer: one that learns words in which a letter is said as two and another not at all, and
untrained ones in all that runs do."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from toy_pairs import OPTIONS, as_arguments, write_task
from untrained_runs import untrained

import attentio as at
from attentio.runs.directory import Contents
from attentio.runs.ensemble import ensemble_of
from attentio.runs.initial import take_weights
from attentio.runs.load import load
from attentio.text.tokenizer import Tokenizer

TEXTS = ["abc", "hgfedcba", "a", "dd"]
LETTERS = Tokenizer.train(["abcdefgh"], kind="char")


def edited(word: str) -> str:
    return word.replace("a", "xy").replace("h", "") or "h"


def test_words_are_learnt_edit_by_edit(attentio: Callable, tmp_path: Path, training_seed: int) -> None:
    options = OPTIONS | write_task(tmp_path, edited, seed=training_seed) | {"training.seed": training_seed}
    options |= {"model.attention": "transducer", "training.max_steps": 55, "training.validate_every": 55}
    run = tmp_path / "run"
    assert attentio("train", "luong", "--run", run, *as_arguments(options)).code == 0
    assert attentio("evaluate", run, "--beam", 1).code == 0
    scores = json.loads((run / "evaluation" / "scores.json").read_text())["scores"]
    assert {score["name"]: score["value"] for score in scores}["exact"] >= 90

    trained = load(run)
    for word in ("badge", "hagd", "fecab"):
        (best,) = trained.translate([word], beam=3)
        assert best.text == edited(word)
        looked = [letter for letter in word if letter != "h" for _ in edited(letter)]
        assert [[*word, "</s>"][place] for place in best.attention.argmax(1)] == [*looked, "</s>"]
        assert (best.attention.amax(1) > 0.8).all(), "the pointer is at one position"
    options |= {"training.max_steps": 2, "training.validate_every": 2}
    said = attentio("train", "luong", "--run", tmp_path / "other", "--teacher", run, *as_arguments(options))
    assert said.code == 0, said.err  # its probabilities are learnt


def test_what_is_said_is_scored_aligned_drawn_and_constrained(seed: int) -> None:
    run = untrained(attention="transducer", tokenizer=LETTERS)
    for text, best in zip(TEXTS, run.translate(TEXTS), strict=True):
        (scored,) = run.score([(text, best.text)])
        assert scored.log_probs == pytest.approx(best.log_probs, abs=1e-4)
        (aligned,) = run.align([(text, best.text)])
        torch.testing.assert_close(aligned.attention, best.attention)
        torch.testing.assert_close(best.attention.sum(1), torch.ones(len(best.tokens)))
        assert best.attention[-1, -1] == pytest.approx(1.0), "the end is said at the end"
    assert all(one.attention.shape[1] == 4 for one in run.sample(["abc"], seed=1, samples=3)[0])
    for best in run.candidates(TEXTS, constraints=at.Constraints(prefix="h", require=["de"])):
        assert best[0].text.startswith("h")
        assert "de" in best[0].text


def test_several_answer_together(seed: int) -> None:
    run = untrained(attention="transducer")
    one = Contents(run.path, run.config, run.tokenizers, run.model)
    twice = at.Run.of(ensemble_of([one, one]))
    for alone, both in zip(run.translate(TEXTS), twice.translate(TEXTS), strict=True):
        assert (both.text, both.score) == (alone.text, pytest.approx(alone.score, abs=1e-4))


def test_training_begins_with_the_edits_of_another_and_of_new_symbols(seed: int) -> None:
    old = untrained(attention="transducer")
    new = untrained(attention="transducer", tokenizer=old.tokenizers.source.extended(["xyz"]))
    told = take_weights(*(Contents(run.path, run.config, run.tokenizers, run.model) for run in (old, new)))
    assert told.new == {}
    assert {"decoder.output.weight", "decoder.substitution.weight"} <= {*told.grown}
    assert "x" in new.tokenizers.target.tokens([i for i in new.model.copies.tolist() if i >= 0])


@pytest.mark.parametrize(
    ("key", "value"), [("training.label_smoothing", 0.1), ("model.order", 1), ("model.score", "dot")]
)
def test_what_does_nothing_for_a_transducer_is_told(attentio: Callable, key: str, value: object) -> None:
    said = attentio("train", "g2p-transducer", f"--{key}", str(value).lower())
    assert (said.code, f"{key} does nothing here" in said.err) == (2, True), said.err


def test_where_a_token_is_said_is_no_less_than_impossible(seed: int) -> None:
    """What is rounded is never below 0: pictures refuse such weights."""
    for _ in range(4):
        for output in untrained(attention="transducer").translate(["abcdefgh abcdefgh", "hgfedcba", "abc"]):
            assert output.attention.min() >= 0
            torch.testing.assert_close(output.attention.sum(1), torch.ones(len(output.attention)))

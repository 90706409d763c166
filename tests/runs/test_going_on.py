"""Training that begins with the weights of a trained model."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from toy_pairs import OPTIONS, as_arguments, write_words
from toy_runs import Toy
from untrained_runs import untrained

import attentio as at
from attentio.errors import AttentioError
from attentio.runs.build import Tokenizers
from attentio.runs.directory import Contents
from attentio.runs.initial import Initial, take_weights
from attentio.text.tokenizer import Tokenizer
from attentio.training.checkpoint import Checkpoints

RECIPE = {key: value for key, value in OPTIONS.items() if key.startswith("training.")}
FEW = as_arguments(RECIPE | {"training.max_steps": 2, "training.validate_every": 2, "training.validation_size": 2})


def contents_of(run: at.Run | at.MaskedRun, tokenizers: Tokenizers | None = None) -> Contents:
    own = Tokenizers(run.tokenizer, run.tokenizer) if isinstance(run, at.MaskedRun) else run.tokenizers
    return Contents(run.path, run.config, tokenizers or own, run.model)


def begun(origin: object, fresh: object) -> Initial:
    return take_weights(contents_of(origin), contents_of(fresh))


def test_weights_of_the_same_name_and_shape_are_taken_and_the_others_told(seed: int) -> None:
    old, new = untrained(hidden=14), untrained(hidden=16)
    fresh = {name: parameter.clone() for name, parameter in new.model.named_parameters()}
    told = begun(old, new)
    theirs = dict(old.model.named_parameters())
    for name, parameter in new.model.named_parameters():
        expected = theirs[name] if name in told.taken else fresh[name]
        assert torch.equal(parameter, expected), name
    assert told.taken["encoder.embedding.weight"] == old.tokenizers.source.size * 10
    assert told.new["decoder.output.bias".replace("bias", "weight")] == told.left_out["decoder.output.weight"]
    assert {*told.taken, *told.new} == set(fresh)
    assert told.otherwise == ["model.hidden is 16, and the weights were trained with 14"]


def test_new_entries_of_a_vocabulary_begin_near_the_mean_of_the_known_ones(seed: int) -> None:
    old = untrained()
    tokenizer = old.tokenizers.source.extended(["xyz abc"])
    new = untrained(tokenizer=tokenizer)
    told = begun(old, new)
    size = old.tokenizers.source.size
    assert told.symbols == ["x", "y", "z"]
    for name in (
        "encoder.embedding.weight",
        "decoder.embedding.weight",
        "decoder.output.weight",
        "decoder.output.bias",
    ):
        was, now = (dict(run.model.named_parameters())[name] for run in (old, new))
        assert torch.equal(now[:size], was)
        assert told.grown[name] == 3
        away = (now[size:] - was[4:].mean(0)).abs()
        assert (away < 0.6 * was[4:].std(0, correction=0)).all()
        assert len(set(now[size:].reshape(3, -1)[:, 0].tolist())) == 3


def test_nothing_that_fits_is_refused(seed: int) -> None:
    sizes = {"embedding": 7, "hidden": 6, "encoder_hidden": 5, "cell": "gru"}
    with pytest.raises(AttentioError, match=r"init: no weights of untrained have a name and shape of this model"):
        begun(untrained(type="masked-lm"), untrained(**sizes))


@pytest.mark.parametrize("kind", ["char", "whitespace", "bpe", "unigram"])
@pytest.mark.parametrize("mask", [False, True])
def test_an_extended_vocabulary_keeps_its_ids_and_knows_the_new_text(kind: str, mask: bool) -> None:
    known = "the cat sat on the mat and the dog sat on the log while the other cats chatted along"
    size = {"bpe": 40, "unigram": len(set(known)) + 5 + mask}.get(kind)
    old = Tokenizer.train([known] * 3, kind=kind, vocab_size=size, mask=mask)  # type: ignore[arg-type]
    new = old.extended([known, "zebra 한"])
    assert new.encode(known) == old.encode(known)
    assert old.unknown in old.encode("zebra 한")
    assert new.unknown not in new.encode("zebra 한")
    assert new.decode(new.encode("zebra 한")) == "zebra 한"
    assert Tokenizer.of(json.loads(new.to_json()), Path("x")).encode("zebra 한") == new.encode("zebra 한")
    assert new.extended(["zebra 한"]).size == new.size


def test_training_begins_where_the_other_ended(attentio: Callable, toy: Toy, tmp_path: Path) -> None:
    data = ["--data.train", toy.dev, "--data.dev", toy.dev, "--data.test", "null", *FEW]
    run = tmp_path / "run"
    said = attentio("train", "none", "--init", toy.run, "--run", run, *data, "--training.learning_rate", "1e-12")
    assert f"the model is that of {toy.run}, not the one of none" in said.err.splitlines()
    assert said.code == 0, said.err
    assert f"begins with the weights of {toy.run}" in said.err
    words = toy.dev.read_text().split()[::20]
    old, new = at.Run.load(toy.run), at.Run.load(run)
    assert [one.text for one in new.translate(words)] == [one.text for one in old.translate(words)]
    assert new.config.model == old.config.model
    report = json.loads((run / "init.json").read_text())
    assert (report["new"], report["left_out"], report["symbols"]) == ({}, {}, [])
    again = attentio("train", run, "--training.max_steps", "3")
    assert again.code == 0, again.err
    assert "going on after step 2" in again.err
    other = attentio("train", "none", "--init", "dates-luong", "--run", run, *data, "--training.learning_rate", "1e-12")
    assert (other.code, "was begun with another init" in other.err) == (2, True)


def test_what_is_frozen_stays_and_unknown_symbols_are_told(attentio: Callable, toy: Toy, tmp_path: Path) -> None:
    data = write_words(tmp_path / "more.tsv", lambda word: f"{word}!", count=30, seed=1)
    options = ["--init", toy.run, "--data.train", data, "--data.test", "null", *FEW]
    run, plain = tmp_path / "run", tmp_path / "plain"
    frozen = ["--training.freeze=[encoder.layers.*]", "--text.extend", "true"]
    said = attentio("train", "luong", "--run", run, *options, *frozen)
    assert said.code == 0, said.err
    assert "new in the vocabulary: 1 ('!')" in said.err
    old, new = (
        Checkpoints(one).load("best", "model.safetensors").tensors["model.safetensors"] for one in (toy.run, run)
    )
    for name, weights in old.items():
        if name.startswith("encoder.layers."):
            assert torch.equal(new[name], weights), name
    assert len(new["decoder.output.bias"]) == len(old["decoder.output.bias"]) + 1
    assert not torch.equal(new["decoder.output.bias"][:-1], old["decoder.output.bias"])
    assert attentio("train", run, "--training.max_steps", "3").code == 0
    said = attentio("train", "luong", "--run", plain, *options)
    assert "not in the vocabulary, which is kept: 1 ('!'); --text.extend true adds them" in said.err


def test_what_cannot_be_gone_on_with_is_refused_in_one_line(attentio: Callable, toy: Toy, tmp_path: Path) -> None:
    def refused(*words: object) -> str:
        said = attentio("train", *words, "--run", tmp_path / "run", "--data.train", toy.dev)
        assert said.code == 2, said.err
        return said.err.splitlines()[-1]

    assert "init: masked-lm holds a model of type masked-lm" in refused("luong", "--init", "masked-lm")
    assert "no such run" in refused("luong", "--init", tmp_path / "nothing")
    assert "text.source.tokenizer is as dates-luong has it" in refused(
        "luong", "--init", "dates-luong", "--text.source.tokenizer", "whitespace"
    )
    as_kept = ("--text.source.tokenizer", "char", "--training.freeze=[encodr.*]")
    for key in ("--init", "--teacher"):
        assert "encodr" in refused("luong", key, "dates-luong", *as_kept)
    assert "text.extend does nothing here" in refused("luong", "--text.extend", "true")
    assert "training.freeze: no parameter of the model is called 'encodr.*'" in refused(
        "luong", "--training.freeze=[encodr.*]"
    )
    assert "nothing to learn" in refused("luong", "--training.freeze=['*']")
    assert not (tmp_path / "run").exists()
    assert "attentio train PRESET --init dates-luong" in refused("dates-luong")


def test_a_vocabulary_that_knows_next_to_nothing_of_the_targets_is_refused(
    attentio: Callable, toy: Toy, tmp_path: Path
) -> None:
    data = tmp_path / "other.tsv"
    data.write_text("".join(f"{word}\t{word[::-1].upper()}\n" for word in ("abcd", "bcde", "cdef", "defg")))
    given = ["--run", tmp_path / "run", "--data.train", data, "--data.test", "null", *FEW]
    for by in ("--init", "--teacher"):
        said = attentio("train", "luong", by, toy.run, *given)
        assert said.code == 2
        assert f"the vocabulary of {toy.run} does not know 100% of what is to be learnt" in said.err
        remedy = "--text.extend true" if by == "--init" else "--training.distill sequences"
        assert remedy in said.err
    assert attentio("train", "luong", "--init", toy.run, *given, "--text.extend", "true").code == 0

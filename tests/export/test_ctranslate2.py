"""CTranslate2: what it says is what our own decoding says, token for token."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from untrained_runs import untrained

import attentio as at
from attentio.config.schema import TransformerConfig
from attentio.data.dates import pairs as dates
from attentio.errors import AttentioError
from attentio.runs.translator import Run

TEXTS = ["abc", "bad cafe", "gag", "안녕 abe", "a"]

SETTINGS: list[dict[str, Any]] = [
    {"activation": "gelu"},
    {"norm": "rms", "activation": "swiglu", "key_value_heads": 1},
    {"pre_norm": True, "activation": "gelu-tanh", "positions": "learned", "max_length": 60},
    {"pre_norm": True, "norm": "rms", "positions": "rotary", "activation": "silu", "tied": False},
    {"pre_norm": True, "positions": "rotary", "activation": "relu-squared"},
    {"positions": "none", "heads": 4, "key_value_heads": 2},
]
"""Each value of each option that it can hold."""


def transformer(**options: Any) -> Run:
    sizes = {"width": 24, "heads": 3, "feed_forward": 13, "positions": "sinusoidal"}
    parts = {"encoder": "transformer", "decoder": "transformer", "encoder_layers": 2, "decoder_layers": 3}
    return untrained(**parts, transformer=TransformerConfig(**{**sizes, **options}))


@pytest.fixture(scope="module")
def trained() -> Run:
    return at.load("dates-transformer", device="cpu")


@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_greedy_search_there_says_and_looks_at_the_same(options: dict[str, Any], seed: int) -> None:
    run = transformer(**options)
    ours, theirs = (each.candidates(TEXTS, beam=1, max_length_ratio=1.5) for each in (run, run.in_ctranslate2()))
    assert [best[0].tokens for best in theirs] == [best[0].tokens for best in ours]
    for (mine,), (other,) in zip(ours, theirs, strict=True):
        assert other.finished == mine.finished
        torch.testing.assert_close(other.attention, mine.attention, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("positions", "alibi"),
        ("positions", "t5"),
        ("window", 3),
        ("encoder", "recurrent"),
        ("decoder", "recurrent"),
    ],
)
def test_what_it_cannot_hold_is_refused_by_name(option: str, value: Any) -> None:
    parts = {"encoder": "transformer", "decoder": "transformer"}
    run = untrained(**parts | {option: value}) if option in parts else transformer(**{option: value})
    with pytest.raises(AttentioError, match=rf"CTranslate2 cannot hold model\.(transformer\.)?{option}: {value}, only"):
        run.in_ctranslate2()


def test_queries_and_keys_of_one_length_are_refused_by_name() -> None:
    with pytest.raises(AttentioError, match=r"model\.transformer\.qk_norm: true, only false"):
        transformer(qk_norm=True).in_ctranslate2()


def test_another_normalization_is_refused_by_name() -> None:
    run = untrained(encoder="transformer", decoder="transformer", normalize="sparsemax")
    with pytest.raises(AttentioError, match=r"CTranslate2 cannot hold model\.normalize: Sparsemax\(\), only softmax"):
        run.in_ctranslate2()


def test_a_trained_model_says_the_same_there(trained: Run) -> None:
    texts = [source for source, _ in dates("dev", size=60)]
    there, before = trained.in_ctranslate2(), trained.model.output.weight.clone()
    for beam in (1, 4):
        ours, theirs = (each.candidates(texts, beam=beam) for each in (trained, there))
        assert [best[0].text for best in theirs] == [best[0].text for best in ours]
        for (mine,), (other,) in zip(ours, theirs, strict=True):
            assert other.score == pytest.approx(mine.score, abs=1e-3)
            assert other.log_probs == pytest.approx(mine.log_probs, abs=1e-3)
            torch.testing.assert_close(other.attention, mine.attention, rtol=1e-3, atol=1e-4)
    rounded = trained.in_ctranslate2(type="int8").translate(texts, beam=1)
    assert sum(one.text == best[0].text for one, best in zip(rounded, ours, strict=True)) >= 55
    assert trained.model.output.weight.equal(before), "rounding to int8 must leave the model as it was"


def test_an_output_there_does_not_depend_on_the_limits_of_others(seed: int) -> None:
    run = transformer()
    with torch.no_grad():
        run.model.output.bias[run.end] = -30.0  # nothing ends by itself
    there = run.in_ctranslate2()
    together = there.translate(TEXTS, beam=3)
    assert {one.finished for one in together} == {False}
    for text, one in zip(TEXTS, together, strict=True):
        (alone,) = there.translate([text], beam=3)
        assert len(one.tokens) == len(alone.tokens)
        assert one.score == pytest.approx(alone.score, rel=1e-4)


def test_what_it_has_no_positions_for_is_searched_for_here(seed: int) -> None:
    run = transformer()
    there = run.in_ctranslate2()
    there.searcher.engine.positions = 14
    there.searcher.engine._translator = None  # which would be an error to ask
    texts = ["abcdefgh"]  # whose output may have 14 tokens, and the end
    assert there.translate(texts, beam=1)[0].tokens == run.translate(texts, beam=1)[0].tokens


def test_an_empty_text_is_answered_as_here_and_two_types_are_refused(trained: Run) -> None:
    there, texts = trained.in_ctranslate2(), ["", "14 March 2026"]
    assert [one.text for one in there.translate(texts)] == [one.text for one in trained.translate(texts)]
    with pytest.raises(AttentioError, match="CTranslate2 searches, with a type of its own"):
        there.in_bfloat16()


def test_the_commands_use_it_or_say_why_not(attentio: Callable, tmp_path: Path) -> None:
    given = b"14 March 2026\n"
    said = attentio("translate", "dates-transformer", "--engine", "ctranslate2-int8", given=given)
    assert (said.code, said.out, said.err) == (0, "2026-03-14\n", "")
    said = attentio("translate", "dates-luong", "--engine", "ctranslate2", given=given)
    assert (said.code, said.out) == (0, "2026-03-14\n")
    assert re.fullmatch(
        r"attentio searches by itself, in float32: CTranslate2 cannot hold model.encoder: .*\n", said.err
    )


def test_an_exported_model_opens_as_told(attentio: Callable, tmp_path: Path) -> None:
    said = attentio("export", "dates-transformer", "--to", "ctranslate2", "--type", "int8", "--out", tmp_path / "out")
    assert said.out.startswith(f"wrote {tmp_path / 'out'};")
    *before, last = [line.removeprefix("    ") for line in said.out.splitlines() if line.startswith("    ")]
    names: dict[str, Any] = {}
    exec("\n".join(before).replace('"..."', '"14 March 2026"'), names)
    assert eval(last, names) == "2026-03-14"


def test_what_cannot_be_exported_there_is_told_on_one_line(attentio: Callable) -> None:
    for arguments, told in (
        (("causal-lm", "--to", "ctranslate2"), "only an encoder-decoder can be exported so"),
        (("dates-luong", "--to", "ctranslate2"), "model.encoder: recurrent"),
        (("dates-luong", "--to", "bundle", "--type", "int8"), "--type is for --to ctranslate2"),
    ):
        said = attentio("export", *arguments)
        assert (said.code, said.err.count("\n")) == (2, 1)
        assert told in said.err

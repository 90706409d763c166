"""attentio generate: a text that goes on, on standard output; how it went, on standard error."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from toy_texts import ROUND

from attentio.runs.generator import CausalRun
from attentio.runs.outputs import Piece

GREEDY = ("--greedy", "--max-tokens", "5")


def test_a_trained_model_goes_on(causal: Path, attentio: Callable) -> None:
    said = attentio("generate", causal, "two three", "--greedy", "--max-tokens", "3")
    assert said.code == 0
    words = said.out.split()
    assert said.out.startswith("two three ")
    assert words == [ROUND[(1 + i) % 7] for i in range(len(words))]
    assert re.search(r"\d+ tokens in .* seed \d+", said.err)


def test_a_text_may_begin_with_nothing(causal: Path, attentio: Callable) -> None:
    said = attentio("generate", causal, *GREEDY)
    assert said.out.split()[0] in ROUND


def test_the_seed_that_is_told_draws_the_same_again(causal: Path, attentio: Callable) -> None:
    hot = ("--temperature", "5", "--max-tokens", "30")
    first = attentio("generate", causal, *hot)
    seed = first.err.split()[-1]
    assert attentio("generate", causal, *hot, "--seed", seed).out == first.out
    assert any(attentio("generate", causal, *hot).out != first.out for _ in range(3))


def test_several_samples_are_set_apart(causal: Path, attentio: Callable) -> None:
    options = ("one", "--samples", "3", "--temperature", "3", "--seed", "7", "--max-tokens", "9")
    said = attentio("generate", causal, *options)
    assert len(said.out.split("\n---\n")) == 3
    assert said.out == attentio("generate", causal, *options).out
    assert said.out.endswith("\n")


def test_greedy_is_temperature_zero(causal: Path, attentio: Callable) -> None:
    assert (
        attentio("generate", causal, *GREEDY).out == attentio("generate", causal, "--temperature", "0", *GREEDY[1:]).out
    )


def test_text_is_written_as_it_is_drawn(causal: Path, attentio: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever stops it in the middle has read what there was."""

    def stopped(*_: object, **__: object) -> Iterator[Piece]:
        yield Piece("one", "one", -0.1)
        yield Piece(" two", "two", -0.1)
        raise KeyboardInterrupt

    monkeypatch.setattr(CausalRun, "stream", stopped)
    said = attentio("generate", causal, "one")
    assert (said.out, said.code) == ("one two", 130)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--top-p", "1.5"], "--top-p: must be a number above 0 and at most 1, got '1.5'"),
        (["--min-p", "2"], "--min-p: must be"),
        (["--temperature", "1e-9"], "temperature must be"),
        (["eleven"], "does not know 'eleven'"),
        (["one Three"], "does not know 'Three' (character 5); it knows 'three'"),
        (["--top-k", "1000001"], "top-k"),
        (["a </s>"], "reserved symbol </s>"),
        (["--top-k", "0"], "top-k"),
        (["--max-tokens", "0"], "max-tokens"),
        (["--seed", "-1"], "seed"),
    ],
)
def test_bad_arguments_are_told(causal: Path, attentio: Callable, words: list[str], told: str) -> None:
    said = attentio("generate", causal, *words)
    assert said.code == 2
    assert told in said.err

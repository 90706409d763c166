"""Outputs of encoder-decoders drawn: by the seed and the number of a text alone, and with the model's probabilities."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from untrained_runs import untrained

import attentio as at
from attentio.errors import AttentioError
from attentio.runs.directory import Contents
from attentio.runs.ensemble import ensemble_of
from attentio.text.tokenizer import Tokenizer

KINDS: list[dict[str, Any]] = [
    {"attention": "bahdanau"},
    {"attention": "luong"},
    {"encoder": "transformer", "decoder": "transformer"},
]
TEXTS = ["abc", "hgfedcba", "a", "안녕 b", "abc"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_draws_the_same_whatever_the_batches(seed: int, kind: dict[str, Any]) -> None:
    run = untrained(**kind)
    whole = run.sample(TEXTS, samples=3, seed=seed)
    assert [len(found) for found in whole] == [3] * len(TEXTS)
    in_pairs = run.sample(TEXTS, samples=3, seed=seed, batch_size=2)
    apart = [run.sample([text], samples=3, seed=seed, numbers=[i])[0] for i, text in enumerate(TEXTS, start=1)]
    for found, *others in zip(whole, in_pairs, apart, strict=True):
        for other in others:
            assert [one.ids for one in found] == [one.ids for one in other]
    assert [one.ids for one in whole[0]] != [one.ids for one in whole[4]], "the same text at another number"
    assert [one.ids for one in run.sample(TEXTS, samples=3, seed=seed + 1)[1]] != [one.ids for one in whole[1]]


@pytest.mark.parametrize("kind", KINDS)
def test_scores_and_attention_are_those_of_the_model(seed: int, kind: dict[str, Any]) -> None:
    run = untrained(**kind)
    for text, found in zip(TEXTS, run.sample(TEXTS, at.Sampling(temperature=0.7), samples=2, seed=seed), strict=True):
        for one in found:
            (scored,) = run.score([(text, one.text)])
            if scored.ids == one.ids:  # a text can end in spaces, which are read away
                assert one.log_probs == pytest.approx(scored.log_probs, abs=1e-4)
            assert one.attention.shape == (len(one.tokens), len(one.source_tokens))
            torch.testing.assert_close(one.attention.sum(1), torch.ones(len(one.tokens)), atol=1e-5, rtol=0)


def test_a_copying_model_draws_the_same_whatever_else_may_be_copied(seed: int) -> None:
    words = Tokenizer.train(["go a b"], kind="whitespace")
    run = untrained(tokenizer=words, attention="luong", copy=True)
    drawn = run.sample(["go", "x y z w v u a q"], samples=4, seed=seed)
    (alone,) = run.sample(["go"], samples=4, seed=seed)
    assert [one.ids for one in alone] == [one.ids for one in drawn[0]]


def test_greedy_drawing_is_greedy_search(seed: int) -> None:
    run = untrained(attention="luong")
    drawn = [found[0].ids for found in run.sample(TEXTS, at.Sampling(temperature=0.0))]
    assert drawn == [found[0].ids for found in run.candidates(TEXTS, beam=1)]


def test_outputs_are_drawn_as_often_as_they_are_probable(training_seed: int) -> None:
    torch.manual_seed(training_seed)
    run = untrained(attention="luong")
    count = 1000
    first = Counter(one.ids[0] for one in run.sample(["ab"], samples=count, seed=training_seed)[0])
    source = torch.tensor([[*run.tokenizers.source.encode("ab"), run.source_end]])
    with torch.inference_mode():
        state = run.model.start(run.model.encode(source, torch.tensor([3])))
        logits = run.model.step(torch.tensor([[run.begin]]), state)[0][0, 0].clone()
        logits[list(run.suppressed)] = -torch.inf
    for token, expected in enumerate(logits.softmax(-1).tolist()):
        assert first[token] / count == pytest.approx(expected, abs=0.05)


def test_an_output_ends_at_its_own_limit(seed: int) -> None:
    run = untrained(attention="none")
    for text, found in zip(TEXTS, run.sample(TEXTS, at.Sampling(temperature=100.0), samples=20), strict=True):
        limit = int(run.longest(torch.tensor([len(text) + 1]), 0.5))
        assert all(len(one.ids) - 1 <= limit and one.ids[-1] == run.end for one in found)
        assert all(one.finished == (len(one.ids) - 1 < limit) for one in found)


def test_several_models_draw_together(seed: int) -> None:
    parts = [untrained(**kind) for kind in KINDS]
    run = at.Run.of(ensemble_of([Contents(one.path, one.config, one.tokenizers, one.model) for one in parts]))
    drawn = [found[0].ids for found in run.sample(TEXTS, at.Sampling(temperature=0.0))]
    assert drawn == [found[0].ids for found in run.candidates(TEXTS, beam=1)]


def test_a_repetition_penalty_is_refused_where_it_would_do_next_to_nothing(seed: int) -> None:
    one, sampling = untrained(attention="luong"), at.Sampling(repetition_penalty=1.5)
    two = at.Run.of(ensemble_of([Contents(run.path, run.config, run.tokenizers, run.model) for run in (one, one)]))
    for run in (two, untrained(attention="transducer"), untrained(attention="luong", copy=True)):
        with pytest.raises(AttentioError, match="a repetition penalty lowers what the output layer of one model says"):
            run.sample(["abc"], sampling)
    assert one.sample(["abc"], sampling)


def test_numbers_of_texts_may_be_an_array_and_none_is_negative(as_installed: None, seed: int) -> None:
    run = untrained(attention="luong")
    drawn = run.sample(["abc", "de"], seed=1, numbers=np.array([1, 2]))
    assert [one.ids for (one,) in drawn] == [one.ids for (one,) in run.sample(["abc", "de"], seed=1)]
    with pytest.raises(ValueError, match=r"numbers must be as many as texts, 1, and none below 0, got \[-1\]"):
        run.sample(["abc"], numbers=[-1])


def test_lines_are_drawn_by_their_numbers(toy, attentio: Callable) -> None:
    options = ("--sample", "--temperature", "2", "--top-k", "5", "--top-p", "0.95", "--seed", "3")
    whole = attentio("translate", toy.run, *options, given=b"abcd\n\nfedc\n")
    assert "seed" not in whole.err
    part = attentio("translate", toy.run, *options, given=b"\n\nfedc\n")
    assert part.out.splitlines() == ["", "", whole.out.splitlines()[2]]
    several = attentio("translate", toy.run, *options, "--n-best", "7", given=b"abcd\n").out.splitlines()
    assert len(several) == 7
    fresh = attentio("translate", toy.run, "--sample", given=b"abcdef\n")
    seed = fresh.err.split(";")[0].removeprefix("seed ")
    assert attentio("translate", toy.run, "--sample", "--seed", seed, given=b"abcdef\n").out == fresh.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--top-k", "3"], "--top-k is for drawing; give --sample too"),
        (["--seed", "3"], "--seed is for drawing; give --sample too"),
        (["--sample", "--beam", "3"], "--beam is of a search, and --sample draws; leave one of them out"),
        (["--sample", "--temperature", "1e-9"], "temperature must be 0 (greedy), or 1e-06 to 1000.0, got 1e-09"),
    ],
)
def test_options_that_do_not_go_together_are_refused(words: list[str], told: str, attentio: Callable) -> None:
    assert attentio("translate", "dates-luong", *words).err == f"attentio: {told}\n"


@pytest.mark.parametrize("option", [{"samples": 0}, {"seed": -1}], ids=str)
def test_an_option_outside_its_range_is_called_by_its_name(option: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(option))} must be at least"):
        untrained(attention="luong").sample(["abc"], **option)  # type: ignore[arg-type]

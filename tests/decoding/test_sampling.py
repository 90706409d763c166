"""Drawing tokens: each filter against its definition, and what is drawn against what should be."""

import itertools
import math
import random
from typing import NamedTuple, Self

import pytest
import torch
from torch import Tensor

from attentio.decoding.sampling import (
    Sampled,
    Sampling,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    penalize_repetition,
    sample,
)
from attentio.decoding.search import search
from attentio.models.protocols import Step

PAD, BEGIN, END = 0, 1, 2
VOCAB = 11


class Prefix(NamedTuple):
    tokens: Tensor  # [batch, beam, length]

    def reorder(self, parents: Tensor) -> Self:
        return self._replace(tokens=self.tokens.take_along_dim(parents[:, :, None], dim=1))

    def keep(self, rows: Tensor) -> Self:
        return self._replace(tokens=self.tokens[rows])


class Bigrams:
    """Logits depend on the last token alone; attention is spread over all the tokens it has read."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits  # [vocab, vocab]

    def start(self, memory: Tensor) -> Prefix:
        return Prefix(memory[:, None])

    def step(self, token: Tensor, state: Prefix, *, need_weights: bool = False) -> Step:
        tokens = torch.cat([state.tokens, token[:, :, None]], dim=-1)
        weights = torch.full(tokens.shape, 1 / tokens.shape[-1]) if need_weights else None
        return Step(self.logits[token], weights, Prefix(tokens))


def drawn(decoder: Bigrams, *, samples: int, seed: int, batch: int = 1, **options: object) -> list[Sampled]:
    state = decoder.start(torch.empty(batch, 0, dtype=torch.long)).reorder(
        torch.zeros(batch, samples, dtype=torch.long)
    )
    asked = {"sampling": Sampling(), "max_tokens": 7, "end": END, "forbidden": (PAD, BEGIN)} | options
    generator = torch.Generator().manual_seed(seed)
    return list(sample(decoder, state, torch.full((batch, samples), BEGIN), generator=generator, **asked))


def naive(logits: Tensor, kept: list[int]) -> list[float]:
    """Probabilities of a row in float64, those of tokens not kept zero."""
    powers = [math.exp(float(x)) if i in kept else 0.0 for i, x in enumerate(logits.double())]
    return [power / sum(powers) for power in powers]


def ranked(logits: Tensor) -> list[int]:
    return sorted(range(len(logits)), key=lambda i: (-float(logits[i]), i))


def naive_top_k(logits: Tensor, k: int) -> list[int]:
    return ranked(logits)[:k]


def naive_top_p(logits: Tensor, p: float) -> list[int]:
    kept, total = [], 0.0
    probabilities = naive(logits, list(range(len(logits))))
    for i in ranked(logits):
        if total < p:
            kept.append(i)
        total += probabilities[i]
    return kept


def naive_min_p(logits: Tensor, p: float) -> list[int]:
    probabilities = naive(logits, list(range(len(logits))))
    return [i for i, probability in enumerate(probabilities) if probability >= p * max(probabilities)]


FILTERS = [
    *((keep_top_k, naive_top_k, k) for k in (1, 2, 5, VOCAB, VOCAB + 3)),
    *((keep_top_p, naive_top_p, p) for p in (0.01, 0.3, 0.9, 0.999)),
    *((keep_min_p, naive_min_p, p) for p in (0.001, 0.1, 0.5, 1.0)),
]


@pytest.mark.parametrize(("keep", "definition", "value"), FILTERS)
def test_a_filter_keeps_what_its_definition_says(seed: int, keep, definition, value: float) -> None:
    logits = 3 * torch.randn(2, 3, VOCAB)
    found = keep(logits, value)
    for row, kept in zip(logits.flatten(0, 1), found.flatten(0, 1), strict=True):
        assert sorted(definition(row, value)) == kept.isfinite().nonzero().flatten().tolist()
        assert torch.equal(kept[kept.isfinite()], row[kept.isfinite()])


def test_top_p_counts_the_token_that_reaches_it() -> None:
    assert keep_top_p(torch.zeros(4), 0.5).isfinite().tolist() == [True, True, False, False]
    logits = torch.tensor([0.5, 0.25, 0.125, 0.125]).log()
    assert keep_top_p(logits, 0.49).isfinite().tolist() == [True, False, False, False]
    assert keep_top_p(logits, 0.51).isfinite().tolist() == [True, True, False, False]
    assert keep_top_p(logits, 0.8).isfinite().tolist() == [True, True, True, False], "of equal ones the lower id"
    assert keep_top_p(logits, 1.0).isfinite().all()


def test_filters_leave_what_is_out_already_out(seed: int) -> None:
    logits = torch.randn(VOCAB).index_fill(0, torch.tensor([3, 7]), -math.inf)
    for keep, _, value in FILTERS:
        assert keep(logits, value)[[3, 7]].isneginf().all()


def test_equals_of_the_kth_stay() -> None:
    assert keep_top_k(torch.tensor([1.0, 2.0, 1.0, 0.0]), 2).isfinite().tolist() == [True, True, True, False]


def test_repetition_penalty_lowers_what_was_said_on_either_side_of_zero() -> None:
    logits, said = torch.tensor([3.0, -3.0, 3.0, -3.0, -math.inf]), torch.tensor([True, True, False, False, True])
    assert penalize_repetition(logits, said, 1.5).tolist() == [2.0, -4.5, 3.0, -3.0, -math.inf]


def test_each_filter_is_given_what_the_one_before_leaves(seed: int) -> None:
    """Temperature, then top-k, then top-p of the renormalised rest, then min-p."""
    for _ in range(20):
        logits = 2 * torch.randn(VOCAB)
        draw = Sampling(temperature=random.uniform(0.3, 2), top_k=5, top_p=0.8, min_p=0.2)
        cold = logits / draw.temperature
        for definition, value in ((naive_top_k, 5), (naive_top_p, 0.8), (naive_min_p, 0.2)):
            out = sorted(set(range(VOCAB)) - set(definition(cold, value)))
            cold = cold.index_fill(0, torch.tensor(out, dtype=torch.long), -math.inf)
        expected = naive(cold, cold.isfinite().nonzero().flatten().tolist())
        assert draw.distribution(logits).tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    "draw",
    [
        Sampling(),
        Sampling(temperature=0.4),
        Sampling(temperature=3.0),
        Sampling(top_k=3),
        Sampling(top_p=0.7),
        Sampling(min_p=0.3),
        Sampling(temperature=1.7, top_k=6, top_p=0.9, min_p=0.05),
        Sampling(repetition_penalty=1.8),
    ],
    ids=str,
)
def test_what_is_drawn_follows_the_distribution(seed: int, draw: Sampling) -> None:
    """Pearson's chi-squared over 20,000 draws stays within six standard deviations of its mean."""
    logits = torch.randn(VOCAB, VOCAB)
    prompt = torch.tensor([[5, 6, 7]])
    counts = torch.zeros(VOCAB, dtype=torch.float64)
    (step,) = drawn(Bigrams(logits), samples=20_000, seed=seed, sampling=draw, max_tokens=1, prompt=prompt)
    counts.index_add_(0, step.tokens[0], torch.ones(20_000, dtype=torch.float64))
    allowed = logits[BEGIN].index_fill(0, torch.tensor([PAD, BEGIN]), -math.inf)
    if draw.repetition_penalty != 1:
        for i in (5, 6, 7):
            allowed[i] = allowed[i] / 1.8 if allowed[i] > 0 else allowed[i] * 1.8
    expected = 20_000 * draw.distribution(allowed).double()
    possible = expected > 0
    assert counts[~possible].sum() == 0
    common = expected >= 5  # rarer ones do not follow the statistic's distribution
    statistic = float(((counts - expected) ** 2 / expected)[common].sum())
    assert statistic < common.sum() + 6 * math.sqrt(2 * common.sum()) + 6


def test_samples_and_sentences_are_drawn_independently(seed: int) -> None:
    (step,) = drawn(Bigrams(torch.zeros(VOCAB, VOCAB)), samples=5_000, batch=2, seed=seed, max_tokens=1)
    first, second = step.tokens
    assert 0.05 < float((first == second).float().mean()) < 0.2, "1 in 9 by chance"


def test_a_seed_repeats_and_another_does_not(seed: int) -> None:
    decoder = Bigrams(torch.randn(VOCAB, VOCAB).index_fill(1, torch.tensor([END]), -math.inf))
    one, same, other = (
        torch.cat([step.tokens for step in drawn(decoder, samples=3, seed=number, max_tokens=17)])
        for number in (seed, seed, seed + 1)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_torchs_own_random_numbers_are_left_alone(seed: int) -> None:
    decoder = Bigrams(torch.randn(VOCAB, VOCAB))
    before = torch.random.get_rng_state()
    drawn(decoder, samples=3, seed=seed)
    assert torch.equal(before, torch.random.get_rng_state())


def test_log_probabilities_are_the_models_own(seed: int) -> None:
    """Whatever the temperature, the filters, the penalty and the forbidden tokens are."""
    logits = torch.randn(VOCAB, VOCAB).index_fill(1, torch.tensor([END]), -20.0)
    draw = Sampling(temperature=2.0, top_k=4, repetition_penalty=1.5)
    steps = drawn(Bigrams(logits), samples=3, seed=seed, sampling=draw)
    tokens = torch.stack([torch.full((1, 3), BEGIN), *(step.tokens for step in steps)], dim=-1)
    for n, step in enumerate(steps):
        for i in range(3):
            before, token = tokens[0, i, n : n + 2].tolist()
            expected = float(logits[before].double().log_softmax(-1)[token])
            assert float(step.log_probs[0, i]) == pytest.approx(expected, abs=1e-5)


def test_greedy_is_the_greedy_search(seed: int) -> None:
    decoder = Bigrams(torch.randn(VOCAB, VOCAB))
    decoder.logits[:, END] -= 1
    greedy = Sampling(temperature=0.0, top_k=3, top_p=0.5, min_p=0.5)
    steps = drawn(decoder, samples=1, seed=seed, sampling=greedy, max_tokens=5)
    (best,) = search(
        decoder,
        decoder.start(torch.empty(1, 0, dtype=torch.long)),
        max_lengths=torch.tensor([5]),
        begin=BEGIN,
        end=END,
        forbidden=(PAD, BEGIN),
        need_weights=False,
    )[0]
    said = [int(step.tokens) for step in steps]
    assert said == [*best.tokens, END][:5]


def test_an_ended_hypothesis_stays_ended_and_costs_nothing(seed: int) -> None:
    decoder = Bigrams(torch.randn(VOCAB, VOCAB))
    decoder.logits[:, END] += 2
    steps = drawn(decoder, samples=13, seed=seed, max_tokens=50)
    live = torch.stack([step.live[0] for step in steps])
    tokens = torch.stack([step.tokens[0] for step in steps])
    assert live[0].all()
    assert torch.equal(live[1:], live[:-1] & (tokens[:-1] != END))
    assert (tokens[~live] == END).all()
    assert all((step.log_probs[~step.live] == 0).all() for step in steps)
    assert live[-1].any(), "nothing is computed when all have ended"
    if len(steps) < 50:
        assert (tokens[-1] == END).all()


def test_forbidden_tokens_are_never_drawn(seed: int) -> None:
    logits = torch.full((VOCAB, VOCAB), -9.0)
    logits[:, [PAD, BEGIN, 5]] = 9.0
    for draw in (Sampling(), Sampling(temperature=0.0), Sampling(top_k=2)):
        steps = drawn(Bigrams(logits), samples=200, seed=seed, sampling=draw, forbidden=(PAD, BEGIN, 5), max_tokens=1)
        assert not torch.isin(steps[0].tokens, torch.tensor([PAD, BEGIN, 5])).any()


def test_the_penalty_is_for_the_prompt_and_for_what_was_drawn(seed: int) -> None:
    """With a huge penalty greedy drawing says everything once before it repeats."""
    logits = 1 + torch.rand(VOCAB, VOCAB)
    greedy = Sampling(temperature=0.0, repetition_penalty=1e6)
    prompt = torch.tensor([[4, 9]])
    steps = drawn(
        Bigrams(logits), samples=1, seed=seed, sampling=greedy, prompt=prompt, forbidden=(PAD, BEGIN), max_tokens=7
    )
    said = [int(step.tokens) for step in steps]
    assert len(set(said)) == len(said)
    assert not {4, 9} & set(said)


def test_the_penalty_is_each_hypothesis_own(seed: int) -> None:
    logits = torch.zeros(VOCAB, VOCAB).index_fill(1, torch.tensor([END]), -math.inf)
    logits[:, 3:] = 50.0
    steps = drawn(Bigrams(logits), samples=50, seed=seed, sampling=Sampling(repetition_penalty=100.0), max_tokens=8)
    tokens = torch.stack([step.tokens[0] for step in steps])
    for said in tokens.T.tolist():
        assert len(set(said)) == 8, "each says all eight letters before it would repeat one"
    assert len({tuple(said) for said in tokens.T.tolist()}) > 25


def test_attention_is_that_of_the_step(seed: int) -> None:
    steps = drawn(Bigrams(torch.zeros(VOCAB, VOCAB)), samples=3, seed=seed, max_tokens=4, need_weights=True)
    for n, step in enumerate(steps):
        assert step.weights is not None
        assert step.weights.shape == (1, 3, n + 1)
    assert drawn(Bigrams(torch.zeros(VOCAB, VOCAB)), samples=3, seed=seed)[0].weights is None


def test_no_gradients_are_kept_and_the_callers_are_left_alone(seed: int) -> None:
    logits = torch.randn(VOCAB, VOCAB, requires_grad=True)
    decoder = Bigrams(logits)
    state = decoder.start(torch.empty(1, 0, dtype=torch.long))
    for step in sample(decoder, state, torch.tensor([[BEGIN]]), sampling=Sampling(), max_tokens=3, end=END):
        assert not step.log_probs.requires_grad
        assert (logits * 2).requires_grad


def test_steps_are_given_as_they_are_drawn(seed: int) -> None:
    class Counting(Bigrams):
        calls = 0

        def step(self, token: Tensor, state: Prefix, *, need_weights: bool = False) -> Step:
            self.calls += 1
            return super().step(token, state, need_weights=need_weights)

    decoder = Counting(torch.zeros(VOCAB, VOCAB))
    decoder.logits[:, END] = -math.inf
    state = decoder.start(torch.empty(1, 0, dtype=torch.long))
    stream = sample(decoder, state, torch.tensor([[BEGIN]]), sampling=Sampling(), max_tokens=100, end=END)
    assert len(list(itertools.islice(stream, 3))) == 3
    assert decoder.calls == 3


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"temperature": -1.0}, "temperature must be 0"),
        ({"temperature": math.nan}, "temperature must be 0"),
        ({"temperature": math.inf}, "temperature must be 0"),
        ({"temperature": 1e-9}, "temperature must be 0"),
        ({"temperature": 1e39}, "temperature must be 0"),
        ({"top_k": 0}, "top_k must be at least 1, got 0"),
        ({"top_p": 0.0}, "top_p must be above 0 and at most 1, got 0.0"),
        ({"top_p": 1.5}, "top_p must be"),
        ({"min_p": math.nan}, "min_p must be"),
        ({"repetition_penalty": 0.0}, "repetition_penalty must be above 0, from 1e-6"),
    ],
)
def test_numbers_out_of_range_are_told(options: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Sampling(**options)


def test_bad_arguments_and_logits_are_told(seed: int) -> None:
    decoder = Bigrams(torch.zeros(VOCAB, VOCAB))
    with pytest.raises(ValueError, match="max_tokens must be at least 1, got 0"):
        drawn(decoder, samples=1, seed=seed, max_tokens=0)
    with pytest.raises(ValueError, match="forbidden must not contain the end token 2"):
        drawn(decoder, samples=1, seed=seed, forbidden=(END,))
    for bad in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match="must be finite for some allowed token"):
            drawn(Bigrams(torch.full((VOCAB, VOCAB), bad)), samples=1, seed=seed)


def test_the_coldest_temperature_is_greedy(seed: int) -> None:
    logits = torch.randn(VOCAB, VOCAB)
    cold, greedy = (
        torch.cat(
            [step.tokens for step in drawn(Bigrams(logits), samples=1, seed=seed, sampling=Sampling(temperature=t))]
        )
        for t in (1e-6, 0.0)
    )
    assert torch.equal(cold, greedy)

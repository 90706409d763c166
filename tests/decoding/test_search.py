"""The search against brute force, on decoders small enough to be searched by hand."""

import itertools
import math
import random
from typing import Any, NamedTuple, Self

import pytest
import torch
from torch import Tensor

from attentio.decoding.search import Hypothesis, gnmt_penalty, search
from attentio.models.protocols import Step

PAD, BEGIN, END = 0, 1, 2
FORBIDDEN = (PAD, BEGIN)
VOCAB = 5
LETTERS = range(3, VOCAB)


class Memory(NamedTuple):
    keys: Tensor  # [batch, source, hidden]
    allowed: Tensor  # [batch, source]


class RnnState(NamedTuple):
    hidden: Tensor  # [batch, beam, hidden]
    memory: Memory

    def reorder(self, parents: Tensor) -> Self:
        return self._replace(hidden=self.hidden.take_along_dim(parents[:, :, None], dim=1))

    def keep(self, rows: Tensor) -> Self:
        return self._replace(hidden=self.hidden[rows], memory=Memory(*(x[rows] for x in self.memory)))


class RandomRnn:
    """Logits and attention depend on the whole prefix and on the sentence, in float64."""

    def __init__(self, hidden: int = 7) -> None:
        self.recurrence = torch.randn(hidden, hidden, dtype=torch.float64)
        self.embedding = torch.randn(VOCAB, hidden, dtype=torch.float64)
        self.output = torch.randn(2 * hidden, VOCAB, dtype=torch.float64)

    def memory(self, lengths: list[int]) -> Memory:
        keys = torch.randn(len(lengths), max(lengths), len(self.recurrence), dtype=torch.float64)
        return Memory(keys, torch.arange(max(lengths)) < torch.tensor(lengths)[:, None])

    def start(self, memory: Memory) -> RnnState:
        return RnnState(torch.zeros(len(memory.keys), 1, len(self.recurrence), dtype=torch.float64), memory)

    def step(self, token: Tensor, state: RnnState, *, need_weights: bool = True) -> Step:
        keys, allowed = state.memory
        hidden = torch.tanh(state.hidden @ self.recurrence + self.embedding[token])
        scores = (hidden @ keys.mT).masked_fill(~allowed[:, None], -math.inf)
        weights = scores.softmax(-1)
        logits = torch.cat([hidden, weights @ keys], dim=-1) @ self.output
        return Step(logits, weights, state._replace(hidden=hidden))


class Rows(NamedTuple):
    """State of a `Table`: which of its rows the sentences of the batch are, and what the search did to it."""

    numbers: Tensor  # [batch]
    log: list[str]

    def reorder(self, parents: Tensor) -> Self:
        self.log.append("reorder")
        return self

    def keep(self, rows: Tensor) -> Self:
        self.log.append("keep")
        return self._replace(numbers=self.numbers[rows])


class Table:
    """logits[sentence, step] are the same whatever the prefix. No attention. Counts the rows it is given."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        self.rows_seen: list[int] = []

    def start(self, memory: None = None) -> Rows:
        return Rows(torch.arange(len(self.logits)), [])

    def step(self, token: Tensor, state: Rows, *, need_weights: bool = True) -> Step:
        assert len(token) == len(state.numbers)
        logits = self.logits[state.numbers, len(self.rows_seen)]
        self.rows_seen.append(len(token))
        return Step(logits[:, None].expand(*token.shape, -1), None, state)


def only(memory: Memory, i: int) -> Memory:
    return Memory(*(x[i : i + 1] for x in memory))


def rescore(decoder: RandomRnn, memory: Memory, tokens: list[int]) -> tuple[float, Tensor]:
    """Log-probability of the tokens and the end, and the attention matrix, one token at a time."""
    state, total, rows = decoder.start(memory), 0.0, []
    for previous, token in itertools.pairwise([BEGIN, *tokens, END]):
        logits, weights, state = decoder.step(torch.tensor([[previous]]), state)
        total += float(logits[0, 0].log_softmax(-1)[token])
        rows.append(weights[0, 0])
    return total, torch.stack(rows)


def next_log_probs(decoder: RandomRnn, memory: Memory, tokens: list[int]) -> Tensor:
    state = decoder.start(memory)
    for token in [BEGIN, *tokens]:
        logits, _, state = decoder.step(torch.tensor([[token]]), state)
    return logits[0, 0].log_softmax(-1)


def naive_beam_search(
    decoder: RandomRnn, memory: Memory, *, limit: int, beam: int, alpha: float
) -> list[tuple[list[int], float]]:
    """One sentence, lists only, always to the maximum length. Ended hypotheses and scores, best first."""
    live, ended = [([], 0.0)], []
    for length in range(limit + 1):
        extended = []
        for tokens, total in live:
            log_probs = next_log_probs(decoder, memory, tokens)
            choices = [END] if length == limit else [END, *LETTERS]
            extended += [([*tokens, choice], total + float(log_probs[choice])) for choice in choices]
        extended = sorted(extended, key=lambda pair: -pair[1])[:beam]
        ended += [(t[:-1], p / ((5 + len(t)) / 6) ** alpha) for t, p in extended if t[-1] == END]
        live = [(t, p) for t, p in extended if t[-1] != END]
    return sorted(ended, key=lambda pair: -pair[1])


def run(decoder: RandomRnn, memory: Memory, limits: list[int], **options: Any) -> list[list[Hypothesis]]:
    return search(
        decoder,
        decoder.start(memory),
        max_lengths=torch.tensor(limits),
        begin=BEGIN,
        end=END,
        forbidden=FORBIDDEN,
        **options,
    )


def run_table(table: Table, limits: list[int], state: Rows | None = None, **options: float):
    state = state or table.start()
    options = {"forbidden": FORBIDDEN} | options
    return search(table, state, max_lengths=torch.tensor(limits, dtype=torch.long), begin=BEGIN, end=END, **options)


def peaked(lengths: list[int], steps: int) -> Table:
    """Writes letter 3 `lengths[i]` times and ends, with next to no doubt."""
    logits = torch.zeros(len(lengths), steps, VOCAB)
    for i, length in enumerate(lengths):
        logits[i, :length, 3] = 30
        logits[i, length:, END] = 30
    return Table(logits)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0, 3.0])
def test_a_beam_as_wide_as_the_tree_finds_what_exhaustive_search_finds(seed: int, alpha: float) -> None:
    decoder, limits = RandomRnn(), [4, 0, 3]
    memory = decoder.memory([5, 2, 3])
    found = run(decoder, memory, limits, beam=32, n_best=32, length_penalty=alpha)
    for i, limit in enumerate(limits):
        outputs = [list(o) for n in range(limit + 1) for o in itertools.product(LETTERS, repeat=n)]
        scored = [(rescore(decoder, only(memory, i), o)[0] / ((5 + len(o) + 1) / 6) ** alpha, o) for o in outputs]
        scored.sort(reverse=True)
        assert [h.tokens for h in found[i]] == [o for _, o in scored][:32]
        assert [h.score for h in found[i]] == pytest.approx([score for score, _ in scored][:32])


@pytest.mark.parametrize("beam", [2, 3, 5])
@pytest.mark.parametrize("alpha", [0.0, 1.0, 2.5])
def test_stopping_early_gives_the_result_of_running_to_the_maximum_length(seed: int, beam: int, alpha: float) -> None:
    decoder, limits = RandomRnn(), [7, 11, 2, 5]
    memory = decoder.memory([3, 5, 2, 4])
    for n_best in (1, beam):
        found = run(decoder, memory, limits, beam=beam, n_best=n_best, length_penalty=alpha)
        for i, limit in enumerate(limits):
            naive = naive_beam_search(decoder, only(memory, i), limit=limit, beam=beam, alpha=alpha)[:n_best]
            assert [h.tokens for h in found[i]] == [tokens for tokens, _ in naive]
            assert [h.score for h in found[i]] == pytest.approx([score for _, score in naive])


def test_greedy_search_takes_the_most_probable_token_at_every_step(seed: int) -> None:
    decoder, limit = RandomRnn(), 13
    memory = decoder.memory([3, 7, 5, 2, 11])
    found = run(decoder, memory, [limit] * 5)
    for i in range(5):
        tokens: list[int] = []
        while len(tokens) < limit:
            choice = max([END, *LETTERS], key=next_log_probs(decoder, only(memory, i), tokens).__getitem__)
            if choice == END:
                break
            tokens.append(choice)
        assert found[i][0].tokens == tokens


@pytest.mark.parametrize("beam", [1, 3, 7])
def test_attention_belongs_to_the_hypothesis_returned(seed: int, beam: int) -> None:
    decoder, limits = RandomRnn(), [7, 2, 0, 5, 11]
    memory = decoder.memory([3, 7, 5, 2, 11])
    for i, hypotheses in enumerate(run(decoder, memory, limits, beam=beam, n_best=beam)):
        for hypothesis in hypotheses:
            log_prob, weights = rescore(decoder, only(memory, i), hypothesis.tokens)
            assert hypothesis.weights is not None
            assert hypothesis.weights.shape == (len(hypothesis.tokens) + 1, 11)
            torch.testing.assert_close(hypothesis.weights, weights)
            assert hypothesis.log_prob == pytest.approx(log_prob)
            assert hypothesis.score == pytest.approx(log_prob / gnmt_penalty(len(hypothesis.tokens) + 1, 1.0))


@pytest.mark.parametrize("beam", [1, 5])
def test_results_do_not_depend_on_the_other_sentences_or_their_order(seed: int, beam: int) -> None:
    decoder, lengths, limits = RandomRnn(), [3, 7, 5, 2, 11, 1, 4], [5, 11, 2, 7, 3, 0, 13]
    memory = decoder.memory(lengths)
    order = random.Random(seed).sample(range(7), 7)
    together = run(decoder, memory, limits, beam=beam, n_best=beam)
    shuffled_memory = Memory(*(x[order] for x in memory))
    shuffled = run(decoder, shuffled_memory, [limits[i] for i in order], beam=beam, n_best=beam)
    for place, i in enumerate(order):
        alone_memory = Memory(*(x[i : i + 1, : lengths[i]] for x in memory))
        (alone,) = run(decoder, alone_memory, [limits[i]], beam=beam, n_best=beam)
        for other in (together[i], shuffled[place]):
            assert [h.tokens for h in other] == [h.tokens for h in alone]
            assert [h.finished for h in other] == [h.finished for h in alone]
            assert [h.score for h in other] == pytest.approx([h.score for h in alone])
            for ours, theirs in zip(other, alone, strict=True):
                torch.testing.assert_close(ours.weights[:, : lengths[i]], theirs.weights)
                assert not ours.weights[:, lengths[i] :].any()


def test_the_n_best_are_distinct_and_sorted_and_begin_with_the_best(seed: int) -> None:
    decoder, limits = RandomRnn(), [7, 5, 11]
    memory = decoder.memory([2, 3, 5])
    several = run(decoder, memory, limits, beam=7, n_best=5)
    best = run(decoder, memory, limits, beam=7)
    for hypotheses, (first,) in zip(several, best, strict=True):
        assert len({tuple(h.tokens) for h in hypotheses}) == len(hypotheses) == 5
        assert [h.score for h in hypotheses] == sorted((h.score for h in hypotheses), reverse=True)
        assert hypotheses[0].tokens == first.tokens


@pytest.mark.parametrize("beam", [1, 3])
def test_finished_sentences_leave_the_batch(beam: int) -> None:
    table = peaked([2, 0, 5, 3, 0], steps=40)
    found = run_table(table, [39] * 5, beam=beam)
    assert [len(h.tokens) for (h,) in found] == [2, 0, 5, 3, 0]
    assert table.rows_seen == [5, 3, 3, 2, 1, 1]


def test_greedy_search_neither_reorders_nor_keeps_without_need() -> None:
    table = peaked([3, 1, 3], steps=5)
    state = table.start()
    run_table(table, [4, 4, 4], state)
    assert state.log == ["keep"]


def test_no_output_exceeds_its_own_maximum_length(seed: int) -> None:
    logits = torch.randn(4, 12, VOCAB)
    logits[..., END] -= 30
    found = run_table(Table(logits), [3, 0, 11, 7], beam=3, n_best=3)
    for limit, hypotheses in zip([3, 0, 11, 7], found, strict=True):
        assert max(len(h.tokens) for h in hypotheses) == limit


def test_a_hypothesis_ended_by_the_maximum_length_pays_for_the_end_and_says_so(seed: int) -> None:
    logits = torch.randn(2, 6, VOCAB)
    logits[..., 4] = 9
    logits[1, 5, END] = 10
    cut, whole = (hypotheses[0] for hypotheses in run_table(Table(logits), [5, 5]))
    assert cut.tokens == whole.tokens == [4] * 5
    assert (cut.finished, whole.finished) == (False, True)
    log_probs = logits.log_softmax(-1)
    assert cut.log_prob == pytest.approx(float(log_probs[0, :5, 4].sum() + log_probs[0, 5, END]), rel=1e-5)


def test_finished_says_whether_the_model_itself_would_end(seed: int) -> None:
    decoder, limits = RandomRnn(), [2, 3, 5, 1]
    memory = decoder.memory([3, 7, 5, 2])
    for i, hypotheses in enumerate(run(decoder, memory, limits, beam=5, n_best=5)):
        for hypothesis in hypotheses:
            log_probs = next_log_probs(decoder, only(memory, i), hypothesis.tokens)
            willing = max([END, *LETTERS], key=log_probs.__getitem__) == END
            assert hypothesis.finished == (willing or len(hypothesis.tokens) < limits[i])


@pytest.mark.parametrize(("beam", "block"), [(1, 1), (1, 2), (2, 1), (3, 1)])
def test_looking_for_the_best_tokens_block_by_block_finds_the_same(
    seed: int, beam: int, block: int, monkeypatch
) -> None:
    decoder = RandomRnn()
    memory = decoder.memory([3, 5, 2])
    expected = run(decoder, memory, [6, 5, 7], beam=beam)
    monkeypatch.setattr("attentio.decoding.search._MANY_SCORES", 0)
    monkeypatch.setattr("attentio.decoding.search._BLOCK", block)
    for found, wanted in zip(run(decoder, memory, [6, 5, 7], beam=beam), expected, strict=True):
        assert [each.tokens for each in found] == [each.tokens for each in wanted]
        assert [each.score for each in found] == [each.score for each in wanted]


def test_forbidden_tokens_never_appear_and_their_probability_is_not_shared_out(seed: int) -> None:
    logits = torch.randn(3, 8, VOCAB)
    logits[..., [PAD, BEGIN, 4]] += 10
    for beam in (1, 2, 7):
        found = run_table(Table(logits), [7] * 3, beam=beam, n_best=beam, forbidden=(PAD, BEGIN, 4))
        for i, hypotheses in enumerate(found):
            for hypothesis in hypotheses:
                assert set(hypothesis.tokens) <= {3}
                outputs = [*hypothesis.tokens, END]
                log_probs = logits[i].log_softmax(-1)[range(len(outputs)), outputs]
                assert hypothesis.log_prob == pytest.approx(float(log_probs.sum()), rel=1e-5)


def test_a_beam_wider_than_the_vocabulary_returns_all_outputs_there_are() -> None:
    found = run_table(Table(torch.zeros(2, 3, VOCAB)), [0, 2], beam=11, n_best=11)
    assert [h.tokens for h in found[0]] == [[]]
    assert sorted(h.tokens for h in found[1]) == [[], [3], [3, 3], [3, 4], [4], [4, 3], [4, 4]]


def test_length_penalty_follows_the_paper() -> None:
    assert gnmt_penalty(1, 0.7) == 1
    assert gnmt_penalty(7, 1.0) == 2
    assert gnmt_penalty(19, 0.5) == 2
    assert gnmt_penalty(23, 0.0) == 1


def test_a_larger_length_penalty_prefers_longer_outputs() -> None:
    logits = torch.full((1, 5, VOCAB), -20.0)
    logits[0, 0, [END, 3]] = torch.tensor([0.58, 0.42]).log()
    logits[0, 1:4, 3] = logits[0, 4, END] = 0  # after a first letter, no doubt about three more
    ((short,),) = run_table(Table(logits), [4], beam=2, length_penalty=0.0)
    # 0.42 ** (1 / lp(5)) > 0.58 > 0.42 ** (1 / lp(4)): a bound that forgets the end stops too early.
    ((long,),) = run_table(Table(logits), [4], beam=2, length_penalty=1.0)
    assert (short.tokens, long.tokens) == ([], [3, 3, 3, 3])


def test_a_decoder_without_attention_gives_hypotheses_without_weights(seed: int) -> None:
    ((hypothesis,),) = run_table(Table(torch.randn(1, 4, VOCAB)), [3])
    assert hypothesis.weights is None


def test_a_search_ends_with_what_is_raised_before_a_step(seed: int) -> None:
    logits, calls = torch.zeros(1, 6, VOCAB), 0
    logits[..., END] = -20.0

    def third() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        run_table(Table(logits), [6], each_step=third)
    assert calls == 3


def test_an_empty_batch_has_no_outputs() -> None:
    assert run_table(Table(torch.zeros(0, 1, VOCAB)), []) == []


def test_half_precision_logits_are_summed_in_float32(seed: int) -> None:
    logits = torch.randn(1, 12, VOCAB).bfloat16()
    ((half,),) = run_table(Table(logits), [11])
    ((full,),) = run_table(Table(logits.float()), [11])
    assert half == full


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("token", [PAD, END, 4])
def test_logits_that_are_not_finite_are_an_error(seed: int, bad: float, token: int) -> None:
    logits = torch.randn(3, 6, VOCAB)
    logits[..., END] -= 10
    logits[1, 2, token] = bad
    for beam in (1, 3):
        with pytest.raises(ValueError, match="logits must be finite"):
            run_table(Table(logits), [5] * 3, beam=beam)


def test_a_model_that_never_allows_the_end_is_an_error(seed: int) -> None:
    logits = torch.randn(2, 4, VOCAB)
    logits[1, :, END] = -math.inf
    with pytest.raises(ValueError, match="no possible end for sentence 1"):
        run_table(Table(logits), [3, 3], beam=2)


def test_what_the_model_says_after_the_end_does_not_matter(seed: int) -> None:
    class BrokenAfterEnd(RandomRnn):
        def step(self, token: Tensor, state: RnnState, *, need_weights: bool = True) -> Step:
            logits, weights, state = super().step(token, state)
            return Step(logits.masked_fill((token == END)[:, :, None], math.nan), weights, state)

    decoder = RandomRnn()
    broken = BrokenAfterEnd()
    vars(broken).update(vars(decoder))
    memory = decoder.memory([3, 5, 2])
    expected = run(decoder, memory, [7, 5, 3], beam=5, n_best=3)
    found = run(broken, memory, [7, 5, 3], beam=5, n_best=3)
    assert [[h.tokens for h in sentence] for sentence in found] == [
        [h.tokens for h in sentence] for sentence in expected
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam": 0}, "beam must be at least 1, got 0"),
        ({"beam": 2, "n_best": 3}, "n_best must be between 1 and beam = 2, got 3"),
        ({"n_best": 0}, "n_best must be between 1 and beam = 1, got 0"),
        ({"length_penalty": -0.5}, "length_penalty must be finite and not negative, got -0.5"),
        ({"forbidden": [END]}, "forbidden must not contain the end token 2"),
    ],
)
def test_arguments_out_of_range_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run_table(Table(torch.zeros(1, 2, VOCAB)), [1], **options)


def test_a_negative_maximum_length_is_refused() -> None:
    with pytest.raises(ValueError, match="max_lengths must not be negative, got -1"):
        run_table(Table(torch.zeros(2, 2, VOCAB)), [1, -1])

"""Perplexities, bits per byte and accuracy, against sums over single tokens."""

import math
import random
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from attentio.data.batches import IGNORE_INDEX, pad_rows
from attentio.errors import AttentioError
from attentio.evaluation.language import TokenScores, masked_one_by_one, next_tokens, score_tokens

PAD, UNK, BEGIN, END, MASK = range(5)
VOCAB, WIDTH = 13, 7


class Context(nn.Module):
    """Features of a position: its own embedding, and the mean of its row's real tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCAB, WIDTH, dtype=torch.float64)
        self.output = nn.Linear(WIDTH, VOCAB, dtype=torch.float64)
        self.most_tokens = 0

    def features(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        self.most_tokens = max(self.most_tokens, tokens.numel())
        real = torch.arange(tokens.shape[1]) < lengths[:, None]
        embedded = self.embedding(tokens) * real[:, :, None]
        return torch.tanh(embedded + 3 * embedded.sum(1, keepdim=True) / lengths[:, None, None])


class Batch(NamedTuple):
    inputs: tuple[Tensor, ...]
    labels: Tensor


def batch(rows: list[list[int]], labels: list[list[int]]) -> Batch:
    lengths = torch.tensor([len(row) for row in rows])
    return Batch((pad_rows(rows), lengths), pad_rows(labels, padding=IGNORE_INDEX))


def drawn_rows(draw: random.Random, count: int) -> list[list[int]]:
    return [[BEGIN, *draw.choices(range(5, VOCAB), k=draw.randint(1, 9)), END] for _ in range(count)]


def naive(model: Context, rows: list[list[int]], labels: list[list[int]]) -> tuple[int, float, int]:
    """One row at a time, one token at a time."""
    tokens, nats, correct = 0, 0.0, 0
    for row, wanted in zip(rows, labels, strict=True):
        logits = model.output(model.features(torch.tensor([row]), torch.tensor([len(row)])))[0].tolist()
        for scores, label in zip(logits, wanted, strict=True):
            if label != IGNORE_INDEX:
                tokens += 1
                nats += math.log(sum(map(math.exp, scores))) - scores[label]
                correct += scores[label] == max(scores)
    return tokens, nats, correct


def test_figures_are_sums_over_all_tokens_however_the_batches_are_cut(seed: int) -> None:
    """Rows ask for different numbers of tokens, so a mean of batches' means would be another (trap 14)."""
    draw, model = random.Random(seed), Context()
    rows = drawn_rows(draw, 17)
    labels = [[x if draw.random() < 0.4 else IGNORE_INDEX for x in row] for row in rows]
    labels[0][1] = rows[0][1]
    tokens, nats, correct = naive(model, rows, labels)
    for size in (1, 3, 17):
        cuts = range(0, 17, size)
        found = score_tokens(model, (batch(rows[i : i + size], labels[i : i + size]) for i in cuts))
        assert (found.tokens, found.correct) == (tokens, correct)
        assert found.nats == pytest.approx(nats, rel=1e-9)
        assert found.perplexity == pytest.approx(math.exp(nats / tokens), rel=1e-9)
        assert found.accuracy == pytest.approx(100 * correct / tokens)


def test_more_tokens_than_are_scored_at_once(seed: int) -> None:
    draw, model = random.Random(seed), Context()
    rows = drawn_rows(draw, 331)
    tokens, nats, correct = naive(model, rows, rows)
    assert tokens > 2 * 512
    found = score_tokens(model, [batch(rows, rows)])
    assert (found.tokens, found.correct) == (tokens, correct)
    assert found.nats == pytest.approx(nats, rel=1e-9)


def test_a_model_that_knows_nothing_is_as_unsure_as_the_vocabulary_is_large() -> None:
    model = Context()
    nn.init.zeros_(model.output.weight)
    nn.init.zeros_(model.output.bias)
    rows = [[BEGIN, 5, 6, END]]
    found = score_tokens(model, [batch(rows, rows)])
    assert found.perplexity == pytest.approx(VOCAB)
    assert found.bits_per_byte(3) == pytest.approx(4 * math.log2(VOCAB) / 3)


def test_bits_per_byte_is_that_of_a_fair_coin() -> None:
    assert TokenScores(tokens=24, nats=24 * math.log(2), correct=0).bits_per_byte(6) == pytest.approx(4.0)
    with pytest.raises(ValueError, match="size must be at least 1 byte, got 0"):
        TokenScores(1, 1.0, 0).bits_per_byte(0)


def test_a_hopeless_model_has_infinite_perplexity() -> None:
    assert TokenScores(tokens=1, nats=1e6, correct=0).perplexity == math.inf


def test_batches_that_ask_for_nothing_are_passed_over_but_not_all_of_them(seed: int) -> None:
    model = Context()
    rows = [[BEGIN, 5, END]]
    silent, asking = batch(rows, [[IGNORE_INDEX] * 3]), batch(rows, [[IGNORE_INDEX, 5, IGNORE_INDEX]])
    assert score_tokens(model, [silent, asking]) == score_tokens(model, [asking])
    with pytest.raises(AttentioError, match="no token of the data is to be predicted; give more text"):
        score_tokens(model, [silent])


@pytest.mark.parametrize("batch_tokens", [1, 30, 4096])
def test_pseudo_perplexity_masks_each_ordinary_token_alone(seed: int, batch_tokens: int) -> None:
    draw, model = random.Random(seed), Context()
    rows = drawn_rows(draw, 11)
    rows[3][1] = UNK
    special = {PAD, UNK, BEGIN, END, MASK}
    copies, labels = [], []
    for row in rows:
        for place in range(len(row)):
            if row[place] not in special:
                copies.append([MASK if i == place else x for i, x in enumerate(row)])
                labels.append([x if i == place else IGNORE_INDEX for i, x in enumerate(row)])
    tokens, nats, correct = naive(model, copies, labels)
    assert tokens == sum(len(row) - 2 for row in rows) - 1
    model.most_tokens = 0
    found = score_tokens(model, masked_one_by_one(rows, mask=MASK, special=special, batch_tokens=batch_tokens))
    assert (found.tokens, found.correct) == (tokens, correct)
    assert found.nats == pytest.approx(nats, rel=1e-9)
    assert model.most_tokens <= max(batch_tokens, max(map(len, rows)))


def test_rows_with_nothing_to_mask_give_no_copies() -> None:
    assert list(masked_one_by_one([[BEGIN, END], []], mask=MASK, special=range(5))) == []


@pytest.mark.parametrize("block", [2, 3, 4, 7, 100])
@pytest.mark.parametrize("batch_tokens", [1, 40, 4096])
def test_every_token_after_the_first_is_asked_for_once(seed: int, block: int, batch_tokens: int) -> None:
    draw = random.Random(seed)
    # Ids grow along all rows, so that an id tells its row and place; 0 is an ordinary token here.
    ids = iter(range(10_000))
    rows = [[next(ids) for _ in range(draw.randint(0, 30))] for _ in range(13)]
    before = {token: row[:i] for row in rows for i, token in enumerate(row) if i}
    asked = []
    for questions in next_tokens(rows, block=block, batch_tokens=batch_tokens):
        (tokens,) = questions.inputs
        assert tokens.numel() <= max(batch_tokens, block)
        for inputs, labels in zip(tokens.tolist(), questions.labels.tolist(), strict=True):
            for place, label in enumerate(labels):
                if label != IGNORE_INDEX:
                    asked.append(label)
                    context = inputs[: place + 1]
                    assert context == before[label][-len(context) :]
                    assert len(context) >= min(len(before[label]), block // 2)
    assert sorted(asked) == sorted(before)


def test_perplexity_is_that_of_whole_documents(seed: int) -> None:
    class Sums(nn.Module):
        """A causal model: features are sums of the embeddings up to each position."""

        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(VOCAB, WIDTH, dtype=torch.float64)
            self.output = nn.Linear(WIDTH, VOCAB, dtype=torch.float64)

        def features(self, tokens: Tensor) -> Tensor:
            return self.embedding(tokens).cumsum(1)

    draw, model = random.Random(seed), Sums()
    rows = drawn_rows(draw, 13)
    nats = 0.0
    for row in rows:
        log_probs = model.output(model.features(torch.tensor([row[:-1]])))[0].detach().log_softmax(-1)
        nats -= float(log_probs[range(len(row) - 1), row[1:]].sum())
    found = score_tokens(model, next_tokens(rows, block=50, batch_tokens=40))
    assert found.tokens == sum(len(row) - 1 for row in rows)
    assert found.nats == pytest.approx(nats, rel=1e-9)


def test_a_block_without_context_is_refused() -> None:
    with pytest.raises(ValueError, match="block must be at least 2, got 1"):
        next(next_tokens([[BEGIN, END]], block=1))

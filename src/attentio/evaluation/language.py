"""How well a language model predicts text: perplexities, bits per byte and accuracy, all of them per token."""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Int
from torch import Tensor, nn

from attentio.data.batches import IGNORE_INDEX, pad_rows
from attentio.devices import as_float64
from attentio.errors import AttentioError
from attentio.models.protocols import Likelihood, Trainable

LANGUAGE_METRICS: Mapping[str, str] = MappingProxyType(
    {
        "masked-accuracy": "per cent of the masked tokens that are predicted right",
        "masked-perplexity": "exp of the mean negative log-probability of a masked token",
        "pseudo-perplexity": "the same, every token masked one at a time",
        "perplexity": "exp of the mean negative log-probability of a token, given the true ones before it",
        "bits-per-byte": "bits that a byte of the text costs, given the true text before it",
    }
)

_ROWS = 512  # of logits at a time: they are much wider than the features


@runtime_checkable
class LabelledBatch(Protocol):
    """Inputs with what is to be predicted.

    inputs: what the model's `features` takes.
    labels: the id to be predicted at each position, IGNORE_INDEX where nothing is.
    """

    @property
    def inputs(self) -> tuple[Tensor, ...]: ...
    @property
    def labels(self) -> Int[Tensor, "batch positions"]: ...


class TokenScores(NamedTuple):
    """Sums over all predicted tokens. Every figure is made of them, never of means of batches.

    tokens: how many. nats: their negative log-probabilities (natural) added up. correct: how many were the most
    probable of the vocabulary.
    """

    tokens: int
    nats: float
    correct: int

    @property
    def mean(self) -> float:
        """Nats a token."""
        return self.nats / self.tokens

    @property
    def perplexity(self) -> float:
        """exp(nats / tokens): as unsure as among so many equally probable tokens; inf where that overflows."""
        return math.exp(self.mean) if self.mean < 700 else math.inf

    @property
    def accuracy(self) -> float:
        """Correct tokens, in per cent."""
        return 100 * self.correct / self.tokens

    def bits_per_byte(self, size: int) -> float:
        """nats / ln 2 / size, for text of `size` bytes in UTF-8. Does not depend on what a token is.

        The predicted tokens must be those of the text; the cost of end tokens is in it. A vocabulary that knows
        the text only in part (UNK) costs too little: the bytes could not be got back.

        Reference: Gao et al. 2020, "The Pile", section 3.1.
        """
        if size < 1:
            raise ValueError(f"size must be at least 1 byte, got {size}")
        return self.nats / math.log(2) / size


@torch.inference_mode()
def score_tokens(model: Trainable, batches: Iterable[LabelledBatch]) -> TokenScores:
    """What the model makes of every label of the batches.

    The model must be in eval mode.

    Raises:
        AttentioError: the batches have no label.
    """
    tokens, correct = 0, 0
    nats = torch.zeros((), dtype=torch.float64)
    device = model.output.weight.device
    for batch in batches:
        labels = batch.labels.to(device)
        predicted = labels != IGNORE_INDEX
        inputs = [each.to(device) for each in batch.inputs]
        if isinstance(model, Likelihood):  # its log-probabilities are logits too
            features, output = model.forward(*inputs), None
        else:
            features, output = model.features(*inputs), model.output
        for rows, right in zip(features[predicted].split(_ROWS), labels[predicted].split(_ROWS), strict=True):
            logits = rows if output is None else output(rows)
            precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
            nats += as_float64(nn.functional.cross_entropy(precise, right, reduction="none")).sum().cpu()
            correct += int((logits.argmax(-1) == right).sum())
            tokens += len(right)
    if not tokens:
        raise AttentioError("nothing to measure: no token of the data is to be predicted; give more text")
    return TokenScores(tokens, float(nats), correct)


class Predictions(NamedTuple):
    """A `LabelledBatch` made here."""

    inputs: tuple[Int[Tensor, "..."], ...]
    labels: Int[Tensor, "batch positions"]


def masked_one_by_one(
    rows: Iterable[Sequence[int]], *, mask: int, special: Collection[int], batch_tokens: int = 4096
) -> Iterator[Predictions]:
    """A copy of each row for each of its ordinary tokens, masked there.

    The perplexity that `score_tokens` makes of them is the pseudo-perplexity:

        PPPL = exp(-1/N sum over the N tokens w of log P(w | the others of its row))

    The inputs are the tokens, padded, and the length of each copy.

    Args:
        rows: ids, as the model reads them: the begin token first and the end token last.
        mask: the id that stands for the masked token.
        special: ids that are not predicted, unknown tokens among them.
        batch_tokens: most tokens of a batch, padding included; a longer copy stands alone.

    Reference: Salazar et al. 2020, "Masked Language Model Scoring", equations 1 and 2, and section 2.3.
    """

    def copies() -> Iterator[tuple[list[int], list[int]]]:
        for row in sorted(rows, key=len):
            for place, token in enumerate(row):
                if token not in special:
                    labels = [IGNORE_INDEX] * len(row)
                    labels[place] = token
                    yield [*row[:place], mask, *row[place + 1 :]], labels

    for tokens, labels, lengths in _batches(copies(), batch_tokens):
        yield Predictions((tokens, lengths), labels)


def next_tokens(rows: Iterable[Sequence[int]], *, block: int, batch_tokens: int = 4096) -> Iterator[Predictions]:
    """Each token of the rows but the first, to be predicted from those before it.

    A row of more than `block` tokens is read in windows that overlap by half, so that every token but the first ones
    has at least block // 2 before it. The inputs are the tokens, padded at the end.

    Args:
        rows: ids, as the model reads them: a document each, the begin token first and the end token last.
        block: most tokens that the model reads at once; at least 2.
        batch_tokens: most tokens of a batch, padding included; a longer window stands alone.
    """
    if block < 2:
        raise ValueError(f"block must be at least 2, got {block}")

    def windows() -> Iterator[tuple[Sequence[int], list[int]]]:
        for row in sorted(rows, key=len):
            done = 0  # labels so far: row[1 : done + 1]
            for start in range(0, len(row), block - block // 2):
                if done + 1 < len(row):
                    stop = min(start + block, len(row) - 1)
                    yield row[start:stop], [IGNORE_INDEX] * (done - start) + list(row[done + 1 : stop + 1])
                    done = stop

    for tokens, labels, _ in _batches(windows(), batch_tokens):
        yield Predictions((tokens,), labels)


def _batches(
    pairs: Iterable[tuple[Sequence[int], Sequence[int]]], batch_tokens: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Tokens, labels and lengths of as many rows at a time as fit, in order."""
    rows: list[tuple[Sequence[int], Sequence[int]]] = []
    widest = 0
    for pair in pairs:
        widest = max(widest, len(pair[0]))
        if rows and (len(rows) + 1) * widest > batch_tokens:
            yield _padded(rows)
            rows, widest = [], len(pair[0])
        rows.append(pair)
    if rows:
        yield _padded(rows)


def _padded(rows: Sequence[tuple[Sequence[int], Sequence[int]]]) -> tuple[Tensor, Tensor, Tensor]:
    tokens, labels = zip(*rows, strict=True)
    return pad_rows(tokens), pad_rows(labels, padding=IGNORE_INDEX), torch.tensor([len(row) for row in tokens])

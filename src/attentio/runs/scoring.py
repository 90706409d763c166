"""Given outputs scored: the model is made to say them, and asked how probable each token is."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from attentio.data.batches import length_sorted_batches, pad_rows
from attentio.decoding.forced import forced_log_probs
from attentio.layers.packed import PackedWeights
from attentio.models.causal_lm import CausalLM
from attentio.models.encoder_decoder import EncoderDecoder
from attentio.models.ensemble import Ensemble
from attentio.runs.outputs import Scored
from attentio.text.protocol import AnyTokenizer

_ROWS = 512  # of logits at a time: they are much wider than the features


@torch.inference_mode()
def score_pairs(
    model: EncoderDecoder | Ensemble,
    tokenizers: Sequence[AnyTokenizer],
    sources: Sequence[list[int]],
    targets: Sequence[list[int]],
    *,
    begin: int,
    batch_size: int,
    progress: Callable[[int], None],
) -> list[Scored]:
    """Each target, its end included, given its source; `Run.score` explains. tokenizers: of each target."""
    device = next(model.parameters()).device

    def log_probs(numbers: list[int]) -> Tensor:
        lengths = torch.tensor([len(sources[i]) for i in numbers], device=device)
        source, target = (pad_rows([rows[i] for i in numbers]).to(device) for rows in (sources, targets))
        state = model.start(model.encode(source, lengths), packed=PackedWeights())
        return forced_log_probs(model, state, target, begin=begin)

    return _in_batches(targets, tokenizers, log_probs, batch_size, progress)


@torch.inference_mode()
def score_texts(
    model: CausalLM,
    tokenizer: AnyTokenizer,
    rows: Sequence[list[int]],
    *,
    batch_size: int,
    progress: Callable[[int], None],
) -> list[Scored]:
    """Each row but its first token, given what stands before; `CausalRun.score` explains."""
    device = model.output.weight.device

    def log_probs(numbers: list[int]) -> Tensor:
        tokens = pad_rows([rows[i] for i in numbers]).to(device)
        labels = tokens[:, 1:]
        features = model.features(tokens[:, :-1]).flatten(0, 1)
        parts = zip(features.split(_ROWS), labels.flatten().split(_ROWS), strict=True)
        each = [nn.functional.cross_entropy(model.output(rows).float(), ids, reduction="none") for rows, ids in parts]
        return -torch.cat(each).view(labels.shape)

    return _in_batches([row[1:] for row in rows], [tokenizer] * len(rows), log_probs, batch_size, progress)


def _in_batches(
    targets: Sequence[list[int]],
    tokenizers: Sequence[AnyTokenizer],
    log_probs: Callable[[list[int]], Float[Tensor, "batch target"]],
    batch_size: int,
    progress: Callable[[int], None],
) -> list[Scored]:
    def batches() -> Iterator[tuple[int, list[float]]]:
        lengths = np.array([len(target) for target in targets], dtype=np.int64)
        for indices in length_sorted_batches(lengths, batch_size=batch_size):
            numbers = indices.tolist()
            yield from zip(numbers, log_probs(numbers).tolist(), strict=True)
            progress(len(numbers))

    found = dict(batches())
    of_each = enumerate(zip(targets, tokenizers, strict=True))
    return [Scored(tokenizer.tokens(ids), ids, found[i][: len(ids)]) for i, (ids, tokenizer) in of_each]

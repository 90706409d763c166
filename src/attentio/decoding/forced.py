"""Forced decoding: a decoder says what it is told to say, and is watched at it."""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from attentio.models.protocols import Step, StepDecoder


def forced_steps(
    decoder: StepDecoder, state: Any, target: Int[Tensor, "batch target"], *, begin: int, need_weights: bool = True
) -> Iterator[Step]:
    """The steps in which the decoder is made to say `target`: step t has read begin and target[:, :t].

    So its logits are those of token t, and its weights the attention that produced it, as in a search that finds the
    same. Shorter sentences may be filled up with any ids; what their steps give from there on means nothing.

    state: `decoder.start(memory)`, one hypothesis a sentence.
    """
    for token in shifted_right(target, begin).split(1, dim=1):
        step = decoder.step(token, state, need_weights=need_weights)
        state = step.state
        yield step


@torch.no_grad()
def forced_weights(
    decoder: StepDecoder, state: Any, target: Int[Tensor, "batch target"], *, begin: int
) -> Float[Tensor, "batch target source"] | None:
    """The attention that produced each token of `target`; None for a model without attention.

    Arguments as `forced_steps`.
    """
    rows = [step.weights for step in forced_steps(decoder, state, target, begin=begin)]
    found = [row for row in rows if row is not None]
    return torch.cat(found, dim=1) if found else None


@torch.no_grad()
def forced_log_probs(
    decoder: StepDecoder, state: Any, target: Int[Tensor, "batch target"], *, begin: int
) -> Float[Tensor, "batch target"]:
    """The log-probability (natural) of each token of `target` given those before it. Arguments as `forced_steps`."""
    steps = forced_steps(decoder, state, target, begin=begin, need_weights=False)
    rows = [
        step.logits.log_softmax(-1, dtype=torch.promote_types(step.logits.dtype, torch.float32)).gather(
            2, token[:, :, None]
        )
        for step, token in zip(steps, target.split(1, dim=1), strict=True)
    ]
    return torch.cat(rows, dim=1).squeeze(2)


def shifted_right(target: Int[Tensor, "batch target"], begin: int) -> Int[Tensor, "batch target"]:
    """What a decoder reads to say `target`: begin, and all of it but the last token."""
    return torch.cat([torch.full_like(target[:, :1], begin), target[:, :-1]], dim=1)

"""What a run's model tells of an output besides its attention, as far as it is not too much work."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from attentio.capturing.seen import Seen
from attentio.models.protocols import LatentAttention
from attentio.page.evidence import Copied, Evidence, Missing
from attentio.runs.asked import Asked
from attentio.runs.contexts import attentions
from attentio.runs.erased import LONGEST, losses, without_heads
from attentio.runs.gradients import gradients
from attentio.runs.lens import layers, lens
from attentio.text.protocol import AnyTokenizer

MOST_WORK = 2 * 10**11
"""Multiplications that erasing heads, or gradients, may take: some seconds of two cores."""

HEAD_NUMBERS = 2**15
"""Heads times tokens said up to which each head is erased: the page has a number for each."""

LENS_CELLS = 4096
"""Layers times places at which they are read off."""


def evidence_of(
    asked: Asked,
    seen: Seen,
    tokenizer: AnyTokenizer,
    read: Sequence[str],
    *,
    unknown: int | None,
    produced: bool = True,
    copied: Sequence[Copied] | None = None,
) -> Evidence:
    """All of it.

    Args:
        seen: the attention, with its parts where the text is short.
        tokenizer: of what was said.
        read: the token at each of the rows.
        unknown: what stands in for a token read that is erased; None where there is no such.
        produced: whether the tokens said have rows of their own on the page; else they are the text's own.
    """
    if isinstance(asked.model, LatentAttention):
        return Evidence(missing=["notes.latent"])
    missing: list[Missing] = []
    heads = erased = read_off = None
    weighted: dict[str, Float[Tensor, "said heads q k"]] = {}
    count = sum(attentions(asked.model).values())
    if asked.work(count) <= MOST_WORK and count * len(asked.said) <= HEAD_NUMBERS:
        heads = without_heads(asked, tokenizer)
    else:
        missing.append("notes.heads")
    if max(len(asked.said), *(each.shape[1] for each in asked.inputs if each.ndim == 2)) > LONGEST:
        missing.append("notes.long")
    else:
        if unknown is not None and produced:
            erased = losses(asked, unknown=unknown)
        if asked.work(3 * len(asked.said)) <= MOST_WORK:  # there, and back
            weighted = gradients(asked, seen)
    if layers(asked.model) * len(asked.said) > LENS_CELLS:
        missing.append("notes.lens")
    elif layers(asked.model):
        read_off = lens(asked, tokenizer, read)
    return Evidence(
        copied=copied,
        erased=erased,
        heads=heads,
        gradients=_on_the_page(asked, weighted, produced),
        lens=read_off,
        missing=missing,
    )


def _on_the_page(
    asked: Asked, found: dict[str, Float[Tensor, "said heads q k"]], produced: bool
) -> dict[tuple[str, int], Float[Tensor, "heads _ k"]]:
    """Rows at which a token was said have what that token loses, the others what all that was said loses.

    Of a language model the page shows such rows by themselves first, and then all rows.
    """
    shown, rows = {}, list(asked.rows)
    for name, each in found.items():
        if not produced or name.startswith("encoder."):
            shown[name, 0] = each.sum(0)
            continue
        shown[name, 0] = each[torch.arange(len(rows)), :, rows].transpose(0, 1)
        if len(rows) < each.shape[2]:
            shown[name, 1] = each.sum(0)
    return shown

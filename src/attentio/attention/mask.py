"""Masks as they are written: who may attend to whom. True = may attend, everywhere."""

from collections.abc import Sequence
from typing import Any, Literal, SupportsIndex

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from attentio.attention.mask_base import Mask
from attentio.attention.mask_kinds import Causal, Keep, Padding, Segments, Window
from attentio.attention.subclasses import require_plain
from attentio.attention.transforms import plain_only

__all__ = ["Mask", "causal", "keep", "padding", "segments", "window"]


def causal(*, align: Literal["end", "start"] = "end") -> Mask:
    """No query sees a later key.

    Args:
        align: which positions coincide when there are fewer or more queries than keys. "end": the last query
            is at the last key (new tokens after a cache). "start": query 0 is at key 0 (torch's `is_causal`).

    Raises:
        ValueError: another `align`.

    >>> at.causal()
    causal(align='end'): 6 queries (down), 6 keys (across), ■ = may attend
    ■ · · · · ·
    ■ ■ · · · ·
    ■ ■ ■ · · ·
    ■ ■ ■ ■ · ·
    ■ ■ ■ ■ ■ ·
    ■ ■ ■ ■ ■ ■
    >>> at.causal().materialize(2, 4).tolist()
    [[True, True, True, False], [True, True, True, True]]
    >>> at.causal(align="start").materialize(2, 4).tolist()
    [[True, False, False, False], [True, True, False, False]]
    """
    if align not in ("end", "start"):
        raise ValueError(f'align must be "end" or "start", got {align!r}')
    return Causal(align)


# Not Sequence[int]: a checker of types at run time would draw a random number for the item that it looks at.
def padding(lengths: Int[Tensor, "batch"] | Sequence[Any]) -> Mask:
    """Only the first lengths[b] keys of sequence b are real; the others get no attention from any query.

    Raises:
        ValueError: not one whole number of at least 0 for each sequence.

    >>> at.padding([3, 1])
    padding([3, 1]): 3 queries (down), 3 keys (across), ■ = may attend
    sequence 0
    ■ ■ ■
    ■ ■ ■
    ■ ■ ■
    sequence 1
    ■ · ·
    ■ · ·
    ■ · ·
    """
    numbers = torch.as_tensor(lengths)
    lengths = numbers if isinstance(lengths, Tensor) or len(numbers) else numbers.long()  # [] is of floats to torch
    if lengths.ndim != 1 or lengths.dtype == torch.bool or lengths.is_floating_point():
        raise ValueError(
            f"lengths must be whole numbers, one for each sequence, got {lengths.dtype} {list(lengths.shape)}; "
            "a tensor that already marks each key goes through keep(tensor[:, None, :])"
        )
    # Other devices would have to be waited for, and what is compiled or transformed has no numbers yet.
    if lengths.device.type == "cpu" and not plain_only() and (lengths < 0).any():
        raise ValueError(f"lengths must be at least 0, got {int(lengths.min())}")
    return Padding(lengths)


def window(before: int, after: int) -> Mask:
    """A query at position p sees the keys p - before to p + after, both included: before + 1 + after tokens.

    `window(D, D)` is Luong's window of 2D + 1. With fewer queries than keys the last query is at the last
    key, as in `causal()`.

    Raises:
        ValueError: not whole numbers of at least 0.

    Reference: Luong et al. 2015, section 3.2.

    >>> at.window(1, 2)
    window(before=1, after=2): 6 queries (down), 6 keys (across), ■ = may attend
    ■ ■ ■ · · ·
    ■ ■ ■ ■ · ·
    · ■ ■ ■ ■ ·
    · · ■ ■ ■ ■
    · · · ■ ■ ■
    · · · · ■ ■
    """
    if any(not isinstance(count, SupportsIndex) or int(count) < 0 for count in (before, after)):
        raise ValueError(f"before and after count tokens, whole numbers of at least 0; got {before} and {after}")
    return Window(before, after)


def segments(query_ids: Int[Tensor, "batch q"], key_ids: Int[Tensor, "batch k"]) -> Mask:
    """A query sees the keys with its own id: several sequences packed in one row stay apart.

    Raises:
        ValueError: not tensors of whole numbers, one for each position, for as many sequences.

    >>> ids = torch.tensor([[0, 0, 1, 1, 1]])  # of each position, in a batch of one
    >>> at.segments(ids, ids) & at.causal()
    (segments(query_ids[1, 5], key_ids[1, 5]) & causal(align='end')): 5 queries (down), 5 keys (across), ■ = may attend
    sequence 0
    ■ · · · ·
    ■ ■ · · ·
    · · ■ · ·
    · · ■ ■ ·
    · · ■ ■ ■
    """
    for name, ids in (("query_ids", query_ids), ("key_ids", key_ids)):
        require_plain(name, ids)
        if ids.ndim != 2 or ids.dtype == torch.bool or ids.is_floating_point():
            raise ValueError(f"{name} must be whole numbers [batch, positions], got {ids.dtype} {list(ids.shape)}")
    if query_ids.shape[0] != key_ids.shape[0]:
        raise ValueError(
            f"query_ids and key_ids must have one batch size, got {query_ids.shape[0]} and {key_ids.shape[0]}"
        )
    return Segments(query_ids, key_ids)


def keep(allowed: Bool[Tensor, "... q k"]) -> Mask:
    """A mask given as a tensor. True = may attend.

    Args:
        allowed: bool, [q, k], [batch, q, k] or [batch, heads, q, k]; an axis of size 1 holds for all. Two axes are
            always [q, k], also where there are as many sequences as queries: which keys of each sequence are real,
            [batch, k], is said by `keep(t[:, None, :])`. The mask names its axes when it is printed.

    Raises:
        ValueError: the tensor is not bool (0/1 numbers and additive masks read the other way round too
            easily), or of a class whose numbers are not all that it means.

    >>> at.keep(torch.tensor([[True, False], [True, True]]))
    keep([q 2, k 2]): 2 queries (down), 2 keys (across), ■ = may attend
    ■ ·
    ■ ■
    >>> real = torch.tensor([[True, True, False]])  # which keys of each sequence are real
    >>> at.keep(real[:, None, :]).materialize(1, 3).tolist()
    [[[True, True, False]]]
    """
    require_plain("keep's tensor", allowed)
    if allowed.dtype != torch.bool:
        raise ValueError(
            f"keep needs a bool tensor in which True = may attend, got {allowed.dtype}; "
            "write keep(t == 1) if 1 means may attend, keep(t == 0) if 1 means masked "
            "or if the numbers are to be added to the scores (0 or -inf)"
        )
    if not 2 <= allowed.ndim <= 4:
        raise ValueError(f"keep needs [q, k], [batch, q, k] or [batch, heads, q, k], got {list(allowed.shape)}")
    return Keep(allowed)

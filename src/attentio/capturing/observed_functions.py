"""Calls of torch's attention functions, and attention that a model's own code writes out, seen as they happen.

torch hands every call of one of its functions to a `TorchFunctionMode` first. What is not attention goes straight on.
"""

import inspect
import math
import sys
from collections.abc import Callable
from typing import Any, no_type_check
from weakref import WeakSet

import torch
from torch import Tensor
from torch._higher_order_ops.flex_attention import flex_attention as flex_operator
from torch.nn import functional as F
from torch.nn.attention import flex_attention
from torch.overrides import TorchFunctionMode

from attentio.attention.attend import observer
from attentio.attention.mask import causal
from attentio.attention.subclasses import causal_align, is_plain
from attentio.capturing.caller import Caller
from attentio.capturing.observed_multihead import describe_multihead
from attentio.capturing.observed_written_out import batch_size, describe_written_out, four_axes
from attentio.capturing.tracer import Softmax, SoftmaxCall, Tracer, WrittenOut
from attentio.errors import AttentioError

_SDPA_ARGUMENTS = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal", "scale", "enable_gqa")
_MULTIHEAD = inspect.signature(F.multi_head_attention_forward)


class ObservedFunctions(TorchFunctionMode):
    """Reports each attention once, through `report(caller, api, **what was seen)`, unless nobody observes.

    on_written_out, on_softmax: what the tracer sees of written-out attention, all of it.
    """

    def __init__(
        self,
        caller: Callable[[], Caller],
        given: Callable[[], list[Tensor]],
        report: Callable[..., None],
        on_written_out: Callable[[WrittenOut], None] | None,
        on_softmax: Callable[[SoftmaxCall], None] | None,
    ) -> None:
        super().__init__()
        self._caller, self._given, self._report, self._on_written_out = caller, given, report, on_written_out
        self._tracer = Tracer(caller, self._written_out, on_softmax, with_scores=on_written_out is not None)
        self._reported: WeakSet[Softmax] = WeakSet()

    # It runs with every call of torch: whoever checks types at run time should not check these.
    @no_type_check
    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if observer.get() is None:
            return result
        # What is looked at is no part of the model's graph.
        with torch.no_grad():
            if func is F.scaled_dot_product_attention:
                caller = self._caller()
                self._report(caller, "sdpa", **_unpack(_describe_sdpa(args, kwargs, result, self._given), caller))
            elif func is F.multi_head_attention_forward:
                described = describe_multihead(_MULTIHEAD.bind(*args, **kwargs), result)
                self._report(self._caller(), "multihead", **described)
            elif func is flex_operator:
                self._report(self._caller(), "flex", **_describe_flex(args, result[0]))
            else:
                self._tracer.trace(func, args, kwargs, result)
        return result

    def not_understood(self) -> list[str]:
        """The modules whose softmax met other numbers, but not as attention that is understood."""
        left = (name for softmax, name in self._tracer.used.items() if softmax not in self._reported)
        return list(dict.fromkeys(left))

    def _written_out(self, one: WrittenOut) -> None:
        if self._on_written_out is not None:
            self._on_written_out(one)
        seen = None if one.softmax in self._reported else describe_written_out(one, self._given())
        if seen is not None:
            self._reported.add(one.softmax)
            self._report(one.caller, "softmax", **seen)


def _describe_sdpa(
    args: tuple[Any, ...], kwargs: dict[str, Any], result: Tensor, on_stack: Callable[[], list[Tensor]]
) -> dict[str, Any]:
    given = {**dict(zip(_SDPA_ARGUMENTS, args, strict=False)), **kwargs}
    query, scale, mask = given["query"], given.get("scale"), given.get("attn_mask")
    if query.is_nested:
        raise AttentioError("attention of nested tensors cannot be looked into: pad the sequences and mask the padding")
    query, key, value = _expanded((query, given["key"], given["value"]), -3 if given.get("enable_gqa") else -2)
    batch = batch_size(on_stack(), query.shape[-2], key.shape[-2]) if query.ndim > 4 else None
    if mask is not None and (align := causal_align(mask)):
        mask = causal(align=align)
    elif mask is not None and not is_plain(mask):
        raise AttentioError(
            f"attn_mask is a {type(mask).__name__}, a tensor class whose meaning attentio does not know; "
            "give the model a plain bool tensor, or torch's causal_upper_left or causal_lower_right"
        )
    elif mask is not None and query.ndim == 3 and mask.ndim == 3:
        mask = mask.unsqueeze(1)
    elif mask is not None and query.ndim > 4 and mask.ndim > 3:
        mask = four_axes(mask.expand(*query.shape[:-2], *mask.shape[-2:]), batch)
    return {
        **_repeated(*(_four_axes(one, batch) for one in (query, key, value))),
        "mask": mask,
        "is_causal": given.get("is_causal", False),
        "scale": 1.0 / math.sqrt(query.shape[-1]) if scale is None else float(scale),
        "dropout": given.get("dropout_p", 0.0),
        "context": _four_axes(result, batch),
    }


def _unpack(seen: dict[str, Any], caller: Caller) -> dict[str, Any]:
    """One query a head again, where a step of cached decoding laid the heads that share a key out as queries.

    transformers does so with grouped-query attention; its module then was given one position, and says how many heads
    share.
    """
    batch, groups, sharing, _ = seen["query"].shape
    states = caller.locals.get("hidden_states")
    one_position = isinstance(states, Tensor) and states.ndim == 3 and states.shape[1] == 1
    if sharing == 1 or not one_position or getattr(caller.module, "num_key_value_groups", 1) != sharing:
        return seen
    mask = seen["mask"]
    if isinstance(mask, Tensor) and mask.shape[-3:-1] == (groups, sharing):
        mask = mask.flatten(-3, -2).unsqueeze(-2)
    shared = {name: seen[name].repeat_interleave(sharing, dim=1) for name in ("key", "value")}
    alone = {name: seen[name].reshape(batch, groups * sharing, 1, -1) for name in ("query", "context")}
    return {**seen, **shared, **alone, "mask": mask}


def _describe_flex(args: tuple[Any, ...], context: Tensor) -> dict[str, Any]:
    query, key, value, score_mod, _, scale, *_ = args
    mask = _block_mask()
    return {
        **_repeated(query, key, value),
        "score_mod": None if score_mod is flex_attention._identity else score_mod,
        "mask": None if mask is not None and mask.mask_mod is flex_attention.noop_mask else mask,
        "scale": float(scale),
        "context": context,
    }


def _block_mask() -> Any:
    """The operator gets the BlockMask in pieces; the function that called it has it whole."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code is flex_attention.flex_attention.__code__:
            return frame.f_locals["block_mask"]
        frame = frame.f_back  # type: ignore[assignment]
    return None


def _expanded(tensors: tuple[Tensor, ...], axes: int) -> list[Tensor]:
    """With all axes before `axes` (negative) of one size, as torch broadcasts them."""
    leading = torch.broadcast_shapes(*(tensor.shape[:axes] for tensor in tensors))
    return [tensor.expand(*leading, *tensor.shape[axes:]) for tensor in tensors]


def _four_axes(tensor: Tensor, batch: int | None) -> Tensor:
    """[batch, heads, n, d], whatever stands before the last two axes."""
    if tensor.ndim == 4:
        return tensor
    if tensor.ndim == 3:
        return tensor.unsqueeze(1)
    return tensor[None, None] if tensor.ndim == 2 else four_axes(tensor, batch)


def _repeated(query: Tensor, key: Tensor, value: Tensor) -> dict[str, Tensor]:
    """Keys and values once for every query head that shares them, and all of them for every sequence."""
    heads, batch = query.shape[1], max(query.shape[0], key.shape[0])

    def fit(tensor: Tensor) -> Tensor:
        if tensor.shape[1] != heads:
            tensor = tensor.repeat_interleave(heads // tensor.shape[1], dim=1)
        return tensor.expand(batch, *tensor.shape[1:])

    return {"query": fit(query), "key": fit(key), "value": fit(value)}

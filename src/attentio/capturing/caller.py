"""Which module of a model is running, read from Python's stack.

The stack knows it without a hook in the module, whatever method was called (`step` as well as `forward`), in every
thread, and after exceptions.
"""

import re
import sys
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from attentio.capturing.record import SelfOrCross
from attentio.layers.global_attention import GlobalAttention
from attentio.layers.local import LocalAttention
from attentio.layers.multihead import CrossAttention, SelfAttention
from attentio.layers.own_attention import OwnAttention
from attentio.layers.torch_multihead import MultiheadAttention

Names = dict[int, tuple[str, nn.Module]]

_OTHER_SEQUENCE = ("key_value_states", "encoder_hidden_states", "cross_attention_states")
_CROSS_NAME = re.compile(r"cross|enc(oder)?_?(dec(oder)?)?_?att|src_attn|memory_attn", re.IGNORECASE)


def names_of(model: nn.Module) -> Names:
    """The path of every module in `model`, by its id; what torch.compile wrapped has the name it had before."""
    return {id(module): (_as_written(name), module) for name, module in model.named_modules()}


def _as_written(name: str) -> str:
    return ".".join(part for part in name.split(".") if part != "_orig_mod")


@dataclass(frozen=True, eq=False)
class Caller:
    """The innermost module of the model on the stack; `locals` are the variables of its method.

    beside_self_attn: whether it is called as torch calls the attention to another sequence, `multihead_attn`, and
    stands beside a `self_attn` as there.
    """

    name: str
    module: nn.Module | None
    locals: dict[str, Any]
    beside_self_attn: bool = False

    def kind(self, seen: dict[str, Any]) -> SelfOrCross:
        """Whether the sequence that the keys come from is another one than the queries'."""
        if isinstance(self.module, CrossAttention | GlobalAttention | LocalAttention | OwnAttention):
            return "cross"
        if isinstance(self.module, SelfAttention):
            return "self"
        if any(isinstance(self.locals.get(name), Tensor) for name in _OTHER_SEQUENCE):
            return "cross"
        if isinstance(self.module, nn.MultiheadAttention | MultiheadAttention):
            query, key = self.locals["query"], self.locals["key"]
            return "self" if query is key or _same_data(query, key) else "cross"
        if _CROSS_NAME.search(self.name) or self.beside_self_attn:
            return "cross"
        q_len, k_len = _lengths(seen)
        return "cross" if q_len > k_len or self._is_given_other_sequence(q_len, k_len) else "self"

    def _is_given_other_sequence(self, q_len: int, k_len: int) -> bool:
        """Whether the method was given states of q positions and, in another tensor, states of k positions."""
        states = [
            value
            for name, value in self.locals.items()
            if isinstance(value, Tensor) and value.is_floating_point() and value.ndim == 3 and "mask" not in name
        ]
        first = states[0] if states else None
        if first is None or first.shape[1] != q_len:
            return False
        return any(
            other.shape[:2] == (first.shape[0], k_len) and q_len != k_len and other.shape[2] != k_len
            for other in states[1:]
        )


def find_caller(names: Names) -> Caller:
    """The innermost module of `names` whose method is being run; none: name "" and no module."""
    frame = sys._getframe(1)
    while frame is not None:
        found = frame.f_locals.get("self") if frame.f_code.co_varnames[:1] == ("self",) else None
        if isinstance(found, nn.Module) and id(found) in names:
            name, module = names[id(found)]
            return Caller(name, module, dict(frame.f_locals), _is_beside_self_attn(name, names))
        frame = frame.f_back  # type: ignore[assignment]
    return Caller("", None, {})


def _is_beside_self_attn(name: str, names: Names) -> bool:
    layer, _, own = name.rpartition(".")
    sibling = f"{layer}.self_attn".lstrip(".")
    return own == "multihead_attn" and any(other == sibling for other, _ in names.values())


def given_on_the_stack(names: Names) -> list[Tensor]:
    """The tensors that the model's modules on the stack were called with, those of the outermost first."""
    found: list[Tensor] = []
    frame = sys._getframe(1)
    while frame is not None:
        code, variables = frame.f_code, frame.f_locals
        if code.co_name == "_call_impl" and id(variables.get("self")) in names:
            arguments = (*variables["args"], *variables["kwargs"].values())
            found[:0] = [each for each in arguments if isinstance(each, Tensor)]
        frame = frame.f_back  # type: ignore[assignment]
    return found


def _same_data(one: Tensor, other: Tensor) -> bool:
    """The same memory, or the same computed twice, as by a norm in each argument."""
    return one.shape == other.shape and (one.data_ptr() == other.data_ptr() or torch.equal(one, other))


def _lengths(seen: dict[str, Any]) -> tuple[int, int]:
    if seen.get("query") is not None:
        return seen["query"].shape[2], seen["key"].shape[2]
    return seen["weights"].shape[2], seen["weights"].shape[3]

"""Masks that are tensors of a class of their own.

A subclass may hold numbers that mean nothing by themselves: torch's causal biases are empty, and only their class knows
what they allow. So every tensor that is read as a mask is plain, or one of torch's two, or refused.
"""

import sys
from typing import Literal

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor


def require_plain(name: str, tensor: Tensor) -> None:
    """Raises ValueError where the numbers of `tensor` may not be all that it means; the message says what to give."""
    if not isinstance(tensor, Tensor):
        raise ValueError(f"{name} must be a torch.Tensor, got {type(tensor).__name__}; write torch.as_tensor(..)")
    if torch.compiler.is_compiling():  # every tensor is of a class of the compiler's
        return
    if align := causal_align(tensor):
        raise ValueError(
            f"{name} is torch's CausalBias, which holds no numbers; the mask at.causal(align={align!r}) says the same"
        )
    if tensor.is_nested:
        raise ValueError(f"{name} is a nested tensor; pad it, and say with at.padding(lengths) what is real")
    if not is_plain(tensor):
        raise ValueError(
            f"{name} is a {type(tensor).__name__}, a tensor class whose meaning attentio does not know; "
            "give a plain torch.Tensor that holds the same"
        )


def is_plain(tensor: Tensor) -> bool:
    """Whether a tensor means its numbers, or will, as a FakeTensor: no class of its own tells torch otherwise."""
    if isinstance(tensor, FakeTensor):
        return True
    own = [base for base in type(tensor).__mro__ if issubclass(base, Tensor) and base not in (Tensor, nn.Parameter)]
    return not any(hook in vars(base) for base in own for hook in ("__torch_function__", "__torch_dispatch__"))


def causal_align(tensor: Tensor) -> Literal["start", "end"] | None:
    """At which end torch lets queries and keys coincide, where `tensor` is its CausalBias; None where it is not.

    Of a square one it is always the start, whatever the sizes of the call.
    """
    # Whoever has such a bias has imported its module, which takes as long as all the rest of torch.
    module = sys.modules.get("torch.nn.attention.bias")
    if module is None or not isinstance(tensor, module.CausalBias):
        return None
    square = tensor.seq_len_q == tensor.seq_len_kv
    return "start" if square or tensor.variant == module.CausalVariant.UPPER_LEFT else "end"

"""Attention that is written out, followed through torch's functions: product of queries and keys, scale, mask, softmax,
product with the values.

What a tensor is worth knowing for is remembered as long as the tensor lives: that it is a product of two others, or
what a softmax made. Elementwise functions and reshapes pass it on.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, no_type_check

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from attentio.attention.attend import observer
from attentio.inspection.caller import find_caller, names_of

FORBIDDEN = -5e3
"""Scores below are those of a mask: -inf, the smallest number of a dtype, -1e9, BERT's -10000."""

_PASSES_ON = re.compile(
    "(add|sub|mul|div|masked_fill|where|dropout|clamp|maximum|to|type|type_as|float|half|bfloat16|double|contiguous|"
    "clone|view|reshape|flatten|unflatten|squeeze|unsqueeze|expand|nan_to_num)_?"
)
_TURNS = ("transpose", "permute", "movedim", "swapaxes", "repeat_interleave", "split", "chunk", "unbind", "__getitem__")
_PRODUCTS = ("matmul", "bmm", "baddbmm", "einsum")
_SOFTMAXES = ("softmax", "_softmax", "log_softmax", "cross_entropy")


class Comparison(NamedTuple):
    """Where scores come from.

    products: makes the products of queries and keys once more. features: how many were summed. factor: the numbers
    that queries and keys were multiplied by before. zero_one: a tensor of only 0 and 1 that was added since.
    """

    products: Callable[[], Tensor]
    features: int
    factor: float
    zero_one: Tensor | None = None


class Softmaxed(NamedTuple):
    """What a softmax read: scores, along `axis` (negative), and where they came from."""

    scores: Tensor
    axis: int
    comparison: Comparison | None


class WrittenOut(NamedTuple):
    """One attention. weights: what was multiplied with the values, summed along `summed` (negative)."""

    name: str
    softmaxed: Softmaxed
    weights: Tensor
    summed: int
    context: Tensor


class SoftmaxCall(NamedTuple):
    """A call of softmax, log_softmax or cross_entropy over `axis` of `given`."""

    name: str
    function: str
    given: Tensor
    axis: int


@contextmanager
def following(
    model: nn.Module,
    *,
    on_attention: Callable[[WrittenOut], None] = lambda _: None,
    on_softmax: Callable[[SoftmaxCall], None] = lambda _: None,
) -> Iterator[None]:
    """Calls back for what happens in the model meanwhile; nothing that it computes changes.

    To be entered outside of `observing`, within which the insides of attentio's own attention are left out.
    """
    names = names_of(model)
    with _Follow(lambda: find_caller(names).name, on_attention, on_softmax):
        yield


class _Follow(TorchFunctionMode):
    def __init__(
        self,
        caller: Callable[[], str],
        on_attention: Callable[[WrittenOut], None],
        on_softmax: Callable[[SoftmaxCall], None],
    ) -> None:
        super().__init__()
        self.caller, self.on_attention, self.on_softmax = caller, on_attention, on_softmax
        self.observed = False
        self.known: Any = WeakTensorKeyDictionary()  # Comparison or Softmaxed of a tensor
        self.factors: Any = WeakTensorKeyDictionary()  # the number that a tensor has been multiplied by

    # It runs with every call of torch: whoever checks types at run time should not check these.
    @no_type_check
    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if self._inside_attend():
            return func(*args, **kwargs)
        if name in _SOFTMAXES:
            return self._softmax(name, func, args, kwargs)
        result = func(*args, **kwargs)
        if name in _PRODUCTS:
            self._product(name, func, args, kwargs, result)
        elif _PASSES_ON.fullmatch(name) and isinstance(result, Tensor):
            self._pass_on(name, args, result)
        if name in _TURNS or _PASSES_ON.fullmatch(name):
            self._multiply(name, args, result)
        return result

    @no_type_check
    def _inside_attend(self):
        """Within `observing`, only what it leaves out has no observer."""
        self.observed = self.observed or observer.get() is not None
        return self.observed and observer.get() is None

    def _softmax(self, name: str, func: Any, args: Any, kwargs: Any) -> Any:
        given = args[0] if args else kwargs["input"]
        axis = 1 if name == "cross_entropy" and given.ndim > 1 else kwargs.get("dim", args[1] if len(args) > 1 else -1)
        axis = -1 if not isinstance(axis, int) else axis - given.ndim if axis >= 0 else axis
        self.on_softmax(SoftmaxCall(self.caller(), name, given, axis))
        result = func(*args, **kwargs)
        if name == "softmax":
            known = self.known.get(given)
            self.known[result] = Softmaxed(given, axis, known if isinstance(known, Comparison) else None)
        return result

    def _product(self, name: str, func: Any, args: Any, kwargs: Any, result: Tensor) -> None:
        """A product with weights ends an attention; any other may be the comparison that begins one."""
        tensors = [each for each in _flat(args) if isinstance(each, Tensor)][-2:]
        if len(tensors) != 2 or any(each.ndim < 2 or isinstance(each, nn.Parameter) for each in tensors):
            return
        summed = _summed(args[0], tensors) if name == "einsum" else [-1, -2]
        if summed is None:
            return
        for tensor, axis in zip(tensors, summed, strict=True):
            known = self.known.get(tensor)
            if isinstance(known, Softmaxed):
                self.on_attention(WrittenOut(self.caller(), known, tensor, axis, result))
                return
        factor = self.factors.get(tensors[0], 1.0) * self.factors.get(tensors[1], 1.0)
        if name == "baddbmm":
            factor *= kwargs.get("alpha", 1.0)
        self.known[result] = Comparison(lambda: func(*args, **kwargs), tensors[0].shape[summed[0]], factor)

    def _pass_on(self, name: str, args: Any, result: Tensor) -> None:
        tensors = [each for each in _flat(args) if isinstance(each, Tensor)]
        known = next((self.known[each] for each in tensors if each in self.known), None)
        if known is None or result.ndim < 2:
            return
        source = known.scores if isinstance(known, Softmaxed) else known.products
        if isinstance(source, Tensor) and (source.shape[-2:] != result.shape[-2:] or source.numel() != result.numel()):
            return
        if name in ("add", "add_") and isinstance(known, Comparison):
            added = next((each for each in tensors if each not in self.known and is_zero_one(each)), None)
            known = known if added is None else known._replace(zero_one=added)
        self.known[result] = known

    def _multiply(self, name: str, args: Any, result: Any) -> None:
        """A tensor's factor: what it had, times a plain number that it is multiplied or divided by."""
        given = next((each for each in args if isinstance(each, Tensor)), None)
        if given is None:
            return
        factor = self.factors.get(given, 1.0)
        number = next((_number(each) for each in args if each is not given and _number(each) is not None), None)
        if number and name.startswith(("mul", "div")):
            factor = factor * number if name.startswith("mul") else factor / number
        if factor != 1.0:
            for each in result if isinstance(result, (tuple, list)) else [result]:
                self.factors[each] = factor


def is_zero_one(tensor: Tensor) -> bool:
    """Whether a floating-point tensor holds 0 and 1, both, and nothing else but what forbids."""
    if not tensor.is_floating_point() or tensor.ndim < 2:
        return False
    ones, zeros = tensor == 1, tensor == 0
    return bool(ones.any() and zeros.any() and (ones | zeros | (tensor <= FORBIDDEN)).all())


def scale_of(softmaxed: Softmaxed) -> float | None:
    """The number s for which scores = s * products + something constant along each row; None where there is none.

    What queries and keys were multiplied by before counts as a part of s.
    """
    if softmaxed.comparison is None or softmaxed.axis != -1:
        return None
    products = softmaxed.comparison.products().double()
    if products.numel() != softmaxed.scores.numel():
        return None
    scores = softmaxed.scores.detach().double().reshape(products.shape)
    allowed = scores > FORBIDDEN
    centred = [
        torch.where(allowed, each - _mean(each, allowed), 0.0).nan_to_num() for each in (products.detach(), scores)
    ]
    scale = float((centred[0] * centred[1]).sum() / centred[0].square().sum().clamp_min(1e-30))
    rest = (centred[1] - scale * centred[0]).square().sum()
    exact = rest <= 1e-6 * centred[1].square().sum()
    return scale * softmaxed.comparison.factor if exact and scale > 0 else None


def _mean(tensor: Tensor, allowed: Tensor) -> Tensor:
    return torch.where(allowed, tensor, 0.0).sum(-1, keepdim=True) / allowed.sum(-1, keepdim=True).clamp_min(1)


def _flat(args: Any) -> list[Any]:
    return [each for arg in args for each in (arg if isinstance(arg, (tuple, list)) else [arg])]


def _number(thing: Any) -> float | None:
    if isinstance(thing, Tensor):
        return float(thing) if thing.ndim == 0 and not isinstance(thing, nn.Parameter) else None
    return float(thing) if isinstance(thing, (int, float)) and not isinstance(thing, bool) else None


def _summed(equation: str, tensors: list[Tensor]) -> list[int] | None:
    """The axis (negative) of each operand of an einsum that is summed; None unless it is one axis of both."""
    inputs, _, output = equation.replace(" ", "").replace("...", "").partition("->")
    operands = inputs.split(",")
    gone = set(operands[0]) & set(operands[-1]) - set(output)
    if len(operands) != 2 or len(gone) != 1:
        return None
    letter = gone.pop()
    return [operand.index(letter) - len(operand) for operand in operands]

"""Attention that a model's own code writes out, traced through torch's functions: the product of queries and keys,
scale and mask, softmax, the product with the values.

What is known of a tensor (it is a product, it holds weights) is remembered as long as the tensor lives, and goes on to
what other functions make of it, as long as its last axis stays what it is.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, no_type_check

from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

from attentio.capturing.caller import Caller

_MAKE_WEIGHTS = frozenset({"softmax", "_softmax", "special_softmax"})
_SOFTMAXES = _MAKE_WEIGHTS | {"log_softmax", "special_log_softmax", "cross_entropy"}
_PRODUCTS = frozenset({"matmul", "__rmatmul__", "bmm", "baddbmm", "einsum"})
_TURN_AXES = frozenset(
    {"transpose", "swapaxes", "swapdims", "permute", "movedim", "moveaxis", "t", "__get__", "squeeze", "unsqueeze"}
)
_ELEMENTWISE = "add sub mul div masked_fill where dropout clamp maximum nan_to_num"
_SAME_NUMBERS = (
    "to type type_as float half bfloat16 double contiguous clone view reshape flatten unflatten squeeze unsqueeze "
    "expand transpose permute movedim swapaxes repeat_interleave split chunk unbind __getitem__"
)
_KEEP_WEIGHTS = frozenset(
    f"{_SAME_NUMBERS} detach cpu cuda view_as reshape_as expand_as dropout mul mul_ __rmul__".split()
)
_KEEP_FACTOR = frozenset(name + end for name in (_ELEMENTWISE + " " + _SAME_NUMBERS).split() for end in ("", "_"))


class QueryKeyProduct(NamedTuple):
    """Where scores come from.

    operands: queries and keys, in the order in which they were given. again: makes the product once more. features:
    how many were summed. factor: the numbers that queries and keys were multiplied by before. added, multiplied:
    tensors that were added to it since, and that it was multiplied by.
    """

    operands: tuple[Tensor, Tensor]
    again: Callable[[], Tensor]
    features: int
    factor: float
    added: tuple[Tensor, ...] = ()
    multiplied: tuple[Tensor, ...] = ()


@dataclass(frozen=True, eq=False)
class Softmax:
    """One softmax over `axis` (negative). Where scores are traced too: what it was given, and where that comes from."""

    axis: int
    scores: Tensor | None = None
    product: QueryKeyProduct | None = None


class SoftmaxCall(NamedTuple):
    """A call of softmax, log_softmax or cross_entropy over `axis` (negative) of `given`, in the module `name`."""

    name: str
    function: str
    given: Tensor
    axis: int


class WrittenOut(NamedTuple):
    """One product of weights and values.

    weights: as softmax made them, without the keys that were cut off or set to 0 since. used: what they were when
    multiplied: after dropout, casts, reshapes; the softmax's axis is where it was. summed: the axis (negative) of
    `used` that the product sums over. values: with the axis that it sums over as the last but one.
    """

    caller: Caller
    softmax: Softmax
    weights: Tensor
    used: Tensor
    summed: int
    values: Tensor
    context: Tensor
    dropout: float

    @property
    def name(self) -> str:
        """Path of the module."""
        return self.caller.name


@dataclass(frozen=True)
class _Weights:
    """What is known of a tensor of weights. axis: where it has the softmax's axis now (negative); None: it is only made
    of weights. original: of which tensor it was made; None: of none, it is the first."""

    softmax: Softmax
    axis: int | None
    original: Tensor | None = None
    dropout: float = 0.0


class Tracer:
    """Is told of every call of a torch function, and calls back for each softmax and each product with values.

    Scores are traced `with_scores` only: queries, keys and scores then live as long as the weights.
    """

    def __init__(
        self,
        caller: Callable[[], Caller],
        on_written_out: Callable[[WrittenOut], None],
        on_softmax: Callable[[SoftmaxCall], None] | None,
        *,
        with_scores: bool,
    ) -> None:
        self._caller, self._on_written_out, self._on_softmax = caller, on_written_out, on_softmax
        self._with_scores = with_scores
        # A value must not hold its own key, or the key would live for ever.
        self._weights: Any = WeakIdKeyDictionary()  # tensor: _Weights
        self.used: dict[Softmax, str] = {}
        """Softmaxes whose weights met other numbers, with their modules' names; not kept where scores are traced."""
        self._products: Any = WeakIdKeyDictionary()  # tensor: QueryKeyProduct
        self._factors: Any = WeakIdKeyDictionary()  # tensor: the number that it has been multiplied by

    @no_type_check  # told of every call of torch, as is what tells it
    def trace(self, func, args, kwargs, result):
        """`func` was called and returned `result`."""
        name = getattr(func, "__name__", "")
        if name in _SOFTMAXES:
            self._softmax(name, args, kwargs, result)
        elif name in _PRODUCTS:
            self._product(name, func, args, kwargs, result)
        elif self._with_scores or self._weights:
            self._go_on(name, args, kwargs, result)
        if self._weights and not self._with_scores and name not in _SOFTMAXES:
            self._note_use(args, kwargs, result)

    def _softmax(self, name: str, args: Any, kwargs: Any, result: Tensor) -> None:
        given = args[0] if args else kwargs["input"]
        axis = _softmax_axis(name, args, kwargs, given.ndim)
        if self._on_softmax is not None:
            self._on_softmax(SoftmaxCall(self._caller().name, name, given, axis))
        if name in _MAKE_WEIGHTS and result.ndim >= 2:
            scores = (given, self._products.get(given)) if self._with_scores else ()
            self._weights[result] = _Weights(Softmax(axis, *scores), axis)

    def _product(self, name: str, func: Callable[..., Tensor], args: Any, kwargs: Any, result: Tensor) -> None:
        """A product with weights ends an attention; any other may be that of queries and keys, which begins one."""
        tensors = [each for each in _flat(args, kwargs) if isinstance(each, Tensor)][-2:]
        if len(tensors) != 2 or any(each.ndim < 2 or _is_projection(each) for each in tensors):
            return
        left, right = reversed(tensors) if name == "__rmatmul__" else tensors
        summed = _summed(args[0]) if name == "einsum" else [(-1, -2)]
        for used, values, axes in (left, right, dict(summed)), (right, left, {b: a for a, b in summed}):
            known = self._weights.get(used)
            if known is not None and axes and self._ends(known, used, values, axes, result):
                return
        if self._with_scores and len(summed) == 1:
            factor = self._factors.get(left, 1.0) * self._factors.get(right, 1.0) * kwargs.get("alpha", 1.0)
            again = lambda: func(*args, **kwargs)  # noqa: E731
            self._products[result] = QueryKeyProduct((left, right), again, left.shape[summed[0][0]], factor)

    def _ends(self, known: _Weights, used: Tensor, values: Tensor, axes: dict[int, int], result: Tensor) -> bool:
        """Whether a product is one with the values, which is told then. axes: those of `used` that it sums over, and
        the same ones of `values`."""
        axis = known.softmax.axis
        if known.axis is None or (known.axis != axis and known.axis not in axes):
            return False  # a product with weights that were turned is one with the values only over the keys
        first = next(iter(axes))
        summed = axis if known.axis in axes else first
        values = values.movedim(axes.get(known.axis, axes[first]), -2)
        used = used if known.axis == axis else used.movedim(known.axis, axis)
        weights = used if known.original is None else known.original
        self._on_written_out(
            WrittenOut(self._caller(), known.softmax, weights, used, summed, values, result, known.dropout)
        )
        return True

    def _note_use(self, args: Any, kwargs: Any, result: Any) -> None:
        """Weights, or what was made of them, met other numbers: if no attention comes of it, it was not understood."""
        tensors = [each for each in _flat(args, kwargs) if isinstance(each, Tensor) and each.is_floating_point()]
        known = [self._weights.get(each) for each in tensors]
        softmax = next((each.softmax for each in known if each is not None), None)
        if softmax is None:
            return
        if any(
            tensor.ndim >= 2 and (each is None or each.softmax is not softmax)
            for tensor, each in zip(tensors, known, strict=True)
        ):
            if softmax not in self.used and (caller := self._caller()).module is not None:
                self.used[softmax] = caller.name
            return
        for each in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(each, Tensor) and each.is_floating_point() and each.ndim >= 2 and each not in self._weights:
                self._weights[each] = _Weights(softmax, None)

    def _go_on(self, name: str, args: Any, kwargs: Any, result: Any) -> None:
        """What is known of an argument holds for the result, too, where it still has the same last axis."""
        tensors = [each for each in _flat(args, kwargs) if isinstance(each, Tensor)]
        if name == "__setitem__" and (known := self._weights.get(args[0])) is not None and not known.dropout:
            self._weights[args[0]] = replace(known, original=None)
        if isinstance(result, Tensor) and result.ndim >= 2:
            weights = next((each for each in tensors if each in self._weights), None)
            if weights is not None:
                self._go_on_with_weights(name, args, kwargs, weights, result)
            if self._with_scores:
                self._go_on_with_product(name, tensors, result)
        if self._with_scores and name in _KEEP_FACTOR and tensors:
            self._multiply(name, args, tensors[0], result)

    def _go_on_with_weights(self, name: str, args: Any, kwargs: Any, source: Tensor, result: Tensor) -> None:
        known = self._weights[source]
        axis = None if known.axis is None else _axis_after(name, source, result, known.axis)
        if name == "__getitem__" and result.shape[:-1] == source.shape[:-1] and result.shape != source.shape:
            # The last keys cut off were no positions but a learned sink; the weights are those that are left.
            self._weights[result] = replace(known, original=None)
        elif result.numel() == source.numel() and axis is not None:
            changed = name not in _KEEP_WEIGHTS or _picks(name, args) or _weighs_keys(name, args, source, axis)
            if changed and not known.dropout and axis == known.softmax.axis:
                self._weights[result] = replace(known, original=None)  # the weights are what was made of them
                return
            dropout = _dropout(args, kwargs) if name == "dropout" else known.dropout
            original = source if known.original is None else known.original
            if source is not result:
                self._weights[result] = _Weights(known.softmax, axis, original, dropout)

    def _go_on_with_product(self, name: str, tensors: list[Tensor], result: Tensor) -> None:
        source = next((each for each in tensors if each in self._products), None)
        if source is not None and _axis_after(name, source, result, -1) == -1:
            known = self._products[source]
            others = tuple(each for each in tensors if each is not source and each is not result)
            if name in ("add", "add_"):
                known = known._replace(added=known.added + others)
            elif name in ("mul", "mul_"):
                known = known._replace(multiplied=known.multiplied + others)
            self._products[result] = known

    def _multiply(self, name: str, args: Any, given: Tensor, result: Any) -> None:
        """A tensor's factor: what it had, times a plain number that it is multiplied or divided by."""
        factor = self._factors.get(given, 1.0)
        number = next((_number(each) for each in args if each is not given and _number(each) is not None), None)
        if number and name.startswith(("mul", "div")):
            factor = factor * number if name.startswith("mul") else factor / number
        if factor != 1.0:
            for each in result if isinstance(result, (tuple, list)) else [result]:
                self._factors[each] = factor


def _softmax_axis(name: str, args: Any, kwargs: Any, ndim: int) -> int:
    """The axis, negative; without a number, the one that torch takes."""
    axis = kwargs.get("dim", args[1] if len(args) > 1 else None)
    if name == "cross_entropy":
        axis = min(1, ndim - 1)
    elif axis is None:
        axis = 0 if ndim in (0, 1, 3) else 1
    return axis - ndim if axis >= 0 else axis


def _is_projection(tensor: Tensor) -> bool:
    return isinstance(tensor, nn.Parameter) and tensor.ndim < 3


def _weighs_keys(name: str, args: Any, weights: Tensor, axis: int) -> bool:
    """Whether keys are multiplied by numbers of their own, as by a mask of 0 and 1, or rows divided, as by their sums.

    What multiplies a whole row, such as a gate of the head, leaves its weights what they are.
    """
    other = next((each for each in args if isinstance(each, Tensor) and each is not weights and each.ndim), None)
    if other is None:
        return False
    return name.startswith("div") or (name.startswith("mul") and other.ndim >= -axis and other.shape[axis] > 1)


def _picks(name: str, args: Any) -> bool:
    """Whether places are taken by their numbers, in whatever order, as in `weights[.., order]`."""
    return name == "__getitem__" and any(isinstance(each, (Tensor, list)) for each in _flat(args[1:], {}))


def _axis_after(name: str, source: Tensor, result: Tensor, axis: int) -> int | None:
    """Where in `result` the `axis` of `source` is; None: nowhere, or nobody knows."""
    if name in _TURN_AXES:
        # A view: an axis is where its size and stride are; the same place if several are alike, as those of size 1.
        wanted = (source.shape[axis], source.stride(axis))
        places = [-i for i in range(1, result.ndim + 1) if (result.shape[-i], result.stride(-i)) == wanted]
        return axis if axis in places else next(iter(places), None)
    return axis if result.shape[axis:] == source.shape[axis:] else None


def _dropout(args: Any, kwargs: Any) -> float:
    """The probability in a call of dropout."""
    given = {**dict(zip(("input", "p", "training"), args, strict=False)), **kwargs}
    return given.get("p", 0.5) if given.get("training", True) else 0.0


def _flat(args: Any, kwargs: Any) -> Iterator[Any]:
    for each in (*args, *kwargs.values()):
        if isinstance(each, (tuple, list)):
            yield from each
        else:
            yield each


def _number(thing: Any) -> float | None:
    if isinstance(thing, Tensor):
        return float(thing) if thing.ndim == 0 and not isinstance(thing, nn.Parameter) else None
    return float(thing) if isinstance(thing, (int, float)) and not isinstance(thing, bool) else None


def _summed(equation: str) -> list[tuple[int, int]]:
    """The axes (negative) of both operands of an einsum that it sums over together."""
    inputs, arrow, output = equation.replace(" ", "").replace("...", "").partition("->")
    if inputs.count(",") != 1:
        return []
    first, last = inputs.split(",")
    if not arrow:  # the output has every letter that stands there once
        output = "".join(letter for letter in first + last if inputs.count(letter) == 1)
    return [
        (i - len(first), last.index(letter) - len(last))
        for i, letter in enumerate(first)
        if letter in last and letter not in output
    ]

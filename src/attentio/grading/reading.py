"""One way to call somebody's attention and to read what it returns."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from attentio.copies import copy_of
from attentio.errors import AttentioError
from attentio.grading.axes import Axes, arranged, read, tensors_in
from attentio.grading.paper import Answer, Given, Paper, none
from attentio.grading.parameters import Assignment, freshly_drawn
from attentio.grading.quiet import quiet
from attentio.grading.roles import Signature

Numbers = Literal["torch float64", "torch float32", "numpy float64"]
Meaning = Literal["keep", "drop", "add"]


class MaskForm(NamedTuple):
    """How a mask is written.

    axes: of b q k; 1 for an axis of size 1.
    meaning: True or 1 keeps, or drops; or 0 and -inf are added to the scores.
    numbers: bool, or 0.0 and 1.0.
    """

    axes: str
    meaning: Meaning
    numbers: bool


class Case(NamedTuple):
    """Sizes of random inputs.

    square: as many queries as keys. masked: with padding. equal: all features equally many. large: scores of some ten
    thousands.
    """

    name: str
    square: bool = False
    masked: bool = False
    equal: bool = False
    large: bool = False


class Unreadable(Exception):  # noqa: N818 (no error of ours)
    """What code returned is neither context nor weights."""


@dataclass(frozen=True)
class Subject:
    """The code that is graded.

    code: what was given, or a module made from it.
    assignment: of a module's own parameters, if it has any.
    sizes: that inputs must have; the first for the case of different sizes, the last for that of equal ones.
    heads: how many, where the code has decided that. single: a module in float32.
    """

    code: Callable[..., Any]
    paper: Paper
    signature: Signature
    sizes: tuple[Mapping[str, int], ...]
    assignment: Assignment | None = None
    heads: int | None = None
    single: nn.Module | None = None

    def drawn(self, case: Case, axes: Axes, seed: int) -> Given:
        """Random inputs and parameters for one case."""
        generator = torch.Generator().manual_seed(seed)
        paper, roles = self.paper, set(self.signature.roles.values())
        sizes = dict(self.sizes[-1] if case.equal else self.sizes[0])
        lengths = [n for n in (2, 3, 5, 7, 11, 13, 19, 23, 29) if n not in sizes.values()]
        if paper.name in ("local-m", "local-p"):  # windows must fit in
            lengths = [*lengths[:2], *lengths[4:]]
        batch, queries, keys = lengths[:3]
        if case.square or "x" in roles:
            queries = keys
        if case.masked:
            keys = queries = lengths[3]
            queries = queries if case.square or "x" in roles else lengths[1]
            batch = lengths[0] if not case.square else lengths[1]
        batch = 29 if case.large else batch
        batch, queries = axes.batch or batch, axes.queries or queries
        batch = 2 * batch if "h" in axes.query else batch

        def normal(*shape: int, scale: float = 1.0) -> Tensor:
            return torch.randn(shape, generator=generator, dtype=torch.float64) * scale

        given: Given = dict(sizes)
        given["key"] = normal(batch, keys, sizes["dk"])
        given["query"] = given["key"] if "x" in roles else normal(batch, queries, sizes["dq"])
        tied = "x" in roles or "value" not in roles or "key" not in roles
        given["value"] = given["key"] if tied else normal(batch, keys, sizes["dv"])
        given |= self._parameters(sizes, normal)
        given["keep"], given["lengths"] = None, torch.full((batch,), keys)
        if case.masked:
            real = torch.randint(2, keys, (batch,), generator=generator)
            if case.large:
                real[:] = 1
            given["lengths"] = real
            keep = torch.arange(keys) < real[:, None]
            given["keep"] = keep[:, None].expand(batch, queries, keys)
        if case.large:
            given["query"] = given["query"] * 10 ** (2 + 3.5 * torch.rand(batch, queries, 1, generator=generator))
        given["drawn bias"] = normal(batch, 1, keys)
        given["heads"] = sizes.get("heads", self.heads)
        given["D"] = 3  # D / 2 is then neither D / 2 squared nor its root
        given["t"] = int(torch.randint(0, keys - queries + 1, (1,), generator=generator))
        given["predictive"] = paper.name == "local-p"
        return given

    def _parameters(self, sizes: Mapping[str, int], normal: Callable[..., Tensor]) -> Given:
        if self.assignment is not None:
            return dict(self.assignment.values)
        roles = set(self.signature.roles.values())
        plain = [
            one for one in self.paper.layouts if not any("+" in s or "*" in s for r in one.shapes.values() for s in r)
        ]
        if not plain:
            return {}
        layout = max(plain, key=lambda one: len(set(one.shapes) & roles))
        if layout.note == "transposed":
            layout = plain[0]
        drawn = {
            role: normal(*(sizes[symbol] for symbol in shape), scale=1.3 * math.sqrt(1 / sizes[shape[-1]]))
            for role, shape in layout.shapes.items()
        }
        for role in {"v", "vp"} & set(drawn):
            drawn[role] = drawn[role] * 2
        if "b" in roles:
            drawn["b"] = normal(sizes["a"])
        return drawn


@dataclass(frozen=True)
class Reading:
    """How to call a subject.

    turned: matrices are given as [in, out], for x @ W. vector: axes of v.
    orders: of the axes of what is returned, by its name; known once all sizes differed.
    """

    subject: Subject
    axes: Axes
    numbers: Numbers = "torch float64"
    turned: bool = False
    vector: str = "a"
    mask: MaskForm | None = None
    orders: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def call(self, given: Given, seed: int) -> Any:
        """Call the code; its exceptions pass."""
        roles = self.subject.signature.roles
        arguments = {}
        for name, role in roles.items():
            argument = self._argument(name, role, given)
            if argument is None and name in self.subject.signature.optional:
                continue
            arguments[name] = argument
        code = self.subject.code
        if self.numbers == "torch float32" and self.subject.single is not None:
            code = self.subject.single
        given_by_place = takewhile(lambda name: name in arguments, self.subject.signature.positional)
        by_place = [arguments.pop(name) for name in given_by_place]
        state = torch.default_generator.get_state()  # fork_rng asks each kind of device, a hundred times as long
        try:
            with quiet():
                torch.default_generator.manual_seed(seed)
                return code(*by_place, **arguments)
        finally:
            torch.default_generator.set_state(state)

    def run(self, case: Case, seed: int) -> "Run":
        """Call the code with random inputs of one case and read what comes back.

        Raises Unreadable, and whatever the code raises.
        """
        given = self.subject.drawn(case, self.axes, seed)
        adds = self.mask is not None and self.mask.meaning == "add" and given["keep"] is not None
        given["bias"] = given["drawn bias"] if adds else None
        returned = self.call(given, seed)
        expected = self.subject.paper.oracle(given, none)
        yours, orders, complete = self.read(returned, expected)
        return Run(case, given, expected, yours, orders, complete)

    def read(self, returned: Any, expected: Answer) -> tuple[Answer, dict[str, tuple[int, ...]], bool]:
        """What is returned by the names of `expected`; in which order of axes; whether that was all of it."""
        yours: Answer = {}
        orders: dict[str, tuple[int, ...]] = {}
        tensors = tensors_in(returned)
        for tensor in tensors:
            for name, wanted in expected.items():
                if name in yours:
                    continue
                shaped = wanted.unflatten(0, (-1, 2)) if "h" in self.axes.query else wanted
                got = read(tensor.to(torch.float64), shaped, self.orders.get(name))
                if got is not None:
                    yours[name], orders[name] = got[0].reshape(wanted.shape), got[1]
                    break
        if not yours:
            shapes = ", ".join(str(list(tensor.shape)) for tensor in tensors) or "no tensor"
            wanted_shapes = ", ".join(f"{name} {list(one.shape)}" for name, one in expected.items())
            raise Unreadable(f"it returned {shapes}; expected {wanted_shapes}")
        return yours, orders, len(yours) >= min(len(tensors), 2)

    def _argument(self, name: str, role: str, given: Given) -> Any:
        if role in ("query", "key", "value", "x"):
            letters = self.axes.query if role == "query" else self.axes.key
            return self._numbers(arranged(given["key" if role == "x" else role], letters))
        if role == "mask":
            return self._mask(given)
        if role == "lengths":
            return self._numbers(given["lengths"] if self.axes.batch is None else given["lengths"][0])
        if role in ("heads", "D", "t"):
            return given[role]
        if role == "width":
            return given["dq"] // given["heads"] if given.get("heads") and "model" not in name else given["dq"]
        if role in ("dropout", "off"):
            return 0.0 if role == "dropout" else False
        joined = role == "W" and "U" not in self.subject.signature.roles.values() and "U" in given
        value = torch.cat([given["W"], given["U"]], 1) if joined or role == "WU" else given.get(role)
        if value is None:
            raise AttentioError(f"{self.subject.paper.name} has no parameter {role}")
        if value.ndim == 2 and self.turned:
            value = value.T.contiguous()
        if role in ("v", "vp"):
            value = value[:, None] if self.vector == "a1" else value[None] if self.vector == "1a" else value
        return self._numbers(value)

    def _mask(self, given: Given) -> Any:
        keep = given["keep"]
        if self.mask is None or keep is None:
            return None
        if self.mask.meaning == "add":
            numbers = given["drawn bias"].expand(keep.shape).masked_fill(~keep, -torch.inf)
            return self._numbers(self._mask_axes(numbers))
        written = self._mask_axes(keep if self.mask.meaning == "keep" else ~keep)
        return self._numbers(written.double() if self.mask.numbers else written)

    def _mask_axes(self, keep: Tensor) -> Tensor:
        assert self.mask is not None
        written = {
            "bqk": keep,
            "b1k": keep[:, :1],
            "bk": keep[:, 0],
            "b11k": keep[:, None, :1],
            "b1qk": keep[:, None],
            "qk": keep[0],
            "k": keep[0, 0],
            "1k": keep[0, :1],
            "kb": keep[:, 0].T,
            "bk1": keep[:, 0, :, None],
        }[self.mask.axes]
        if "h" in self.axes.query and self.mask.axes[0] == "b":
            return written.unflatten(0, (-1, 2))
        return written

    def _numbers(self, tensor: Tensor) -> Any:
        if tensor.is_floating_point() and self.numbers == "torch float32":
            tensor = tensor.float()
        return tensor.clone().numpy() if self.numbers == "numpy float64" else tensor.clone()

    def masked(self, form: MaskForm) -> "Reading":
        """The same with a mask."""
        return replace(self, mask=form)


class Run(NamedTuple):
    """What came of one case.

    complete: whether all that was returned could be read.
    """

    case: Case
    given: Given
    expected: Answer
    yours: Answer
    orders: Mapping[str, tuple[int, ...]]
    complete: bool = True

    def fits(self, answer: Answer, tolerance: float) -> bool:
        """Whether everything that the code returned is what `answer` says."""
        return all(_close(one, answer[name], tolerance) for name, one in self.yours.items())


def _close(yours: Tensor, other: Tensor, tolerance: float) -> bool:
    if yours.shape != other.shape:
        return False
    both = torch.isfinite(yours) & torch.isfinite(other)
    alike = (yours == other) | (yours.isnan() & other.isnan()) | both
    if not bool(alike.all()):
        return False
    if not bool(both.any()):
        return True
    scale = max(1.0, float(other[both].abs().max()))
    return float((yours[both] - other[both]).abs().max()) <= tolerance * scale


def redrawn(module: nn.Module, seed: int) -> nn.Module:
    """A copy in float64 and evaluation mode, with fresh parameters.

    What parametrizations such as `weight_norm` make of theirs is a parameter itself in the copy: it is the paper's.
    """
    copied = copy_of(module).double().eval()
    freshly_drawn(copied, torch.Generator().manual_seed(seed))
    for one in list(copied.modules()):
        for name in list(getattr(one, "parametrizations", ())):
            parametrize.remove_parametrizations(one, name, leave_parametrized=True)
    return copied.requires_grad_(False)

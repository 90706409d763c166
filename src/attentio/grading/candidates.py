"""The ways to call somebody's attention that work, with what came of each case."""

import copy
import inspect
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from attentio.errors import AttentioError
from attentio.grading.attempt import attempt, of_libraries
from attentio.grading.axes import ORDERS, Axes
from attentio.grading.building import made
from attentio.grading.paper import Paper
from attentio.grading.parameters import MOST, Matrix, assigned_from, assignments, matrices
from attentio.grading.reading import Case, MaskForm, Meaning, Numbers, Reading, Run, Subject, Unreadable, redrawn
from attentio.grading.roles import signature_of

DIFFERENT, SQUARE = Case("different sizes"), Case("as many queries as keys", square=True)
EQUAL = Case("equally many features", equal=True)
MASKED = Case("with padding", masked=True)
MASKED_SQUARE = Case("with padding, as many queries as keys", masked=True, square=True)
LARGE = Case("very large scores", masked=True, large=True)

MOST_READINGS = 6
"""Ways to call code whose masks are tried."""

MOST_NAMED = 12
"""Parameters that a message lists."""

MOST_SUBJECTS = 3
"""Ways to name a module's parameters that are tried with mistakes; others only if they are right."""

_TOLERANCE = {"torch float64": 2e-5, "numpy float64": 2e-5, "torch float32": 5e-4}


@dataclass(frozen=True)
class Candidate:
    """One way to call the code, and what came of it.

    runs: of the cases that must be right. large: of very large scores, if it was tried.
    notes: keys of NOTES that hold if this is the way.
    barred: deviations that cannot be told from this way of calling.
    again: the same runs with other random inputs.
    raised: the first exception in a case, where others ran.
    """

    runs: tuple[Run, ...]
    notes: tuple[str, ...]
    barred: frozenset[str]
    tolerance: float
    again: Callable[[int], tuple[Run, ...]]
    large: Run | None = None
    raised: Exception | None = None
    random: bool = False
    seed: int = 0

    def noted(self, note: str) -> "Candidate":
        """The same with one more note."""
        return replace(self, notes=(*self.notes, note))


class Failed(Exception):  # noqa: N818 (carries what the learner's code raised)
    """The code ran in no way; `cause` is the exception that is the most telling."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


def attention_candidates(
    code: Callable[..., Any], paper: Paper, *, weights: Mapping[str, Any], mask_means: Meaning | None, seed: int
) -> Iterator[Candidate]:
    """Ways to call the code, the likeliest first; Failed where there is none."""
    raised: list[Exception] = []
    found = False
    ran: set[tuple[Axes, Numbers]] = set()
    for place, subject in enumerate(_subjects(code, paper, weights, seed)):
        seen: set[bytes] = set()
        for base, fits in _bases(subject, seed, raised, ran):
            ran.add((base.axes, base.numbers))
            if place >= MOST_SUBJECTS and not fits:
                break
            for reading in _with_masks(base, mask_means, seed, raised):
                candidate = _candidate(reading, seed, told=mask_means is not None or _told(subject) is not None)
                key = _summary(candidate)
                if key not in seen:
                    seen.add(key)
                    found = True
                    yield candidate
    if not found:
        raise Failed(_most_telling(raised, code))


def _check_sized(module: nn.Module) -> None:
    if any(map(is_lazy, module.parameters())):
        raise AttentioError(
            f"{type(module).__name__} has lazy layers, which have no sizes yet; call an instance once, and give that"
        )


def _subjects(code: Callable[..., Any], paper: Paper, weights: Mapping[str, Any], seed: int) -> Iterator[Subject]:
    if inspect.isclass(code) and issubclass(code, nn.Module):
        modules = made(code, paper)
        seen = set()
        for module in modules:
            _check_sized(module)
            key = str([(name, tuple(one.shape)) for name, one in module.named_parameters()]) + str(_numbers_of(module))
            if key not in seen:
                seen.add(key)
                yield from _subjects(module, paper, weights, seed)
        return
    if inspect.isclass(code):
        name = code.__name__
        try:
            code = cast(Callable[..., Any], code())
        except TypeError:
            raise AttentioError(f"{name} is a class, and no nn.Module; give an instance or a function") from None
        if not callable(code):
            raise AttentioError(f"{name} has no __call__; give a function, or a class that can be called")
    if isinstance(code, nn.Module):
        _check_sized(code)
    called = code.forward if isinstance(code, nn.Module) else code
    signature = signature_of(called, paper)
    heads = _heads_of(code)
    if isinstance(code, nn.Module):
        copied = redrawn(code, seed)
        single = copy.deepcopy(copied).float()
        chosen = _by_name(code, weights)
        options = assignments(copied, paper, chosen, heads) if paper.layouts else []
        if paper.layouts and not options and any(True for _ in code.parameters()):
            raise _misfit(paper, "the module's parameters", dict(code.named_parameters()))
        for one in options[:MOST]:
            given_heads = one.sizes.get("heads", heads)
            sizes = {"dv": 17, **one.sizes}
            yield Subject(copied, paper, signature, (sizes,), one, given_heads, single)
        if options:
            return
        for width in _numbers_of(code):
            sizes = {**paper.sizes[-1], "dq": width, "dk": width, "dv": 17}
            yield Subject(copied, paper, signature, (sizes,), None, heads, single)
        yield Subject(copied, paper, signature, paper.sizes, None, heads, single)
        return
    if weights:
        tensors = {role: _tensor(role, one) for role, one in weights.items()}
        options = assigned_from([Matrix(role, one, None) for role, one in tensors.items()], paper, heads)
        if not options:
            raise _misfit(paper, "weights", tensors)
        for one in options:
            yield Subject(code, paper, signature, ({"dv": 17, **one.sizes},), one, one.sizes.get("heads", heads))
        return
    yield Subject(code, paper, signature, paper.sizes, None, heads)


def _misfit(paper: Paper, what: str, held: Mapping[str, Tensor]) -> AttentioError:
    if not paper.layouts:
        return AttentioError(f"{paper.name} has no weights; leave weights= out")
    shapes = ", ".join(f"{name} {list(one.shape)}" for name, one in islice(held.items(), MOST_NAMED))
    if len(held) > MOST_NAMED:
        shapes += f", and {len(held) - MOST_NAMED} more"
    roles = ", ".join(f"{role!r}: .." for role in paper.layouts[0].shapes)
    return AttentioError(f"{paper.name}: {what} ({shapes}) do not fit; say which is which: weights={{{roles}}}")


def _tensor(role: str, value: Any) -> Tensor:
    try:
        return torch.as_tensor(value).detach().double()
    except (TypeError, ValueError, RuntimeError):
        kind = type(value).__name__
        raise AttentioError(f"weights[{role!r}] of a function must be a tensor or an array, got {kind}") from None


def _by_name(module: nn.Module, weights: Mapping[str, Any]) -> dict[str, Any]:
    """Names of the module's own parameters: a copy has others."""
    names = {id(one): name for name, one in module.named_parameters()}
    chosen = {}
    for role, one in weights.items():
        parameter = one.weight if isinstance(one, nn.Module) else one
        chosen[role] = parameter if isinstance(parameter, str) else names.get(id(parameter))
        if chosen[role] is None:
            raise AttentioError(f"weights[{role!r}] is no parameter of the module; give the parameter or its name")
    return chosen


def _heads_of(code: Any) -> int | None:
    for name in ("num_heads", "n_heads", "heads", "n_head", "nhead", "num_head", "h", "H", "head_num", "nheads"):
        value = getattr(code, name, None)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if isinstance(value, nn.ModuleList):
            return len(value)
    return None


def _numbers_of(module: nn.Module) -> list[int]:
    """Widths that a module without parameters may expect: it holds them, or a scale made of them."""
    widths = []
    for value in vars(module).values():
        if isinstance(value, int) and not isinstance(value, bool) and value > 1:
            widths.append(value)
        elif isinstance(value, float) and value > 0 and math.isfinite(value):
            for width in (value**2, value**-2):
                if 2 <= width < 4096 and abs(width - round(width)) < 1e-6:
                    widths.append(round(width))
    return list(dict.fromkeys(widths))


def _bases(
    subject: Subject, seed: int, raised: list[Exception], ran: Collection[tuple[Axes, Numbers]]
) -> list[tuple[Reading, bool]]:
    """Ways to call it that run, with whether that was right; the first that is right ends the search.

    Where code takes a batch and many queries, it must be right there: what it makes of fewer axes says nothing.
    ran: orders of axes with which the same module ran, its parameters named otherwise; if any, only those are tried.
    """
    square = (SQUARE, Case("all equal", square=True, equal=True))
    required = _must_be_masked(subject)
    for cases in ((MASKED,) if required else (DIFFERENT,), (MASKED_SQUARE,) if required else square):
        found: list[tuple[Reading, Run]] = []
        for way in _ways(subject):
            if found and way.numbers != found[-1][0].numbers:
                break
            if ran and (way.axes, way.numbers) not in ran:
                continue
            if any(run.complete and _axes(reading) > _axes(way) for reading, run in found):
                continue
            for form in _forms(way.axes, ("keep", "drop", "add")) if required else (None,):
                reading = replace(way, mask=form)
                run = next(
                    (one for case in cases if (one := attempt(partial(reading.run, case, seed), raised)) is not None),
                    None,
                )
                if run is None:
                    continue
                reading = replace(reading, orders=run.orders)
                if run.complete and run.fits(run.expected, _TOLERANCE[reading.numbers]):
                    return [(reading, True)]
                found.append((reading, run))
        if found:
            whole = [(reading, run) for reading, run in found if run.complete] or found
            return [
                (reading, run.fits(run.expected, _TOLERANCE[reading.numbers])) for reading, run in whole[:MOST_READINGS]
            ]
    return []


def _axes(reading: Reading) -> set[str]:
    return {name for name, one in (("batch", reading.axes.batch), ("queries", reading.axes.queries)) if one is None}


def _must_be_masked(subject: Subject) -> bool:
    name = subject.signature.name_of("mask")
    return name is not None and name not in subject.signature.optional


def _forms(axes: Axes, meanings: tuple[Meaning, ...]) -> Iterator[MaskForm]:
    shapes = ("bqk", "b1k", "bk", "b11k", "b1qk", "kb", "bk1") if axes.batch is None else ("qk", "1k", "k", "bk")
    for shape in shapes:
        for meaning in meanings:
            for numbers in (False, True) if meaning != "add" else (True,):
                yield MaskForm(shape, meaning, numbers)


def _ways(subject: Subject) -> Iterator[Reading]:
    roles = set(subject.signature.roles.values())
    owned = subject.assignment is not None
    matrices = bool(
        roles - {"query", "key", "value", "x", "mask", "lengths", "heads", "D", "t", "width", "v", "b", "vp"}
    )
    vectors = ("a", "a1", "1a") if roles & {"v", "vp"} and not owned else ("a",)
    first = subject.paper.name == "multi-head"
    for numbers in _numbers_order(subject):
        for axes in ORDERS:
            if "x" in roles and axes.queries:
                continue
            if subject.paper.name.endswith("-steps") and axes.queries:
                continue
            for turned in (first, not first) if matrices and not owned else (False,):
                for vector in vectors:
                    yield Reading(subject, axes, numbers, turned, vector)


def _numbers_order(subject: Subject) -> tuple[Numbers, ...]:
    if isinstance(subject.code, nn.Module):
        return ("torch float64", "torch float32")
    spaces = getattr(subject.code, "__globals__", {})
    names = {getattr(one, "__name__", "").partition(".")[0] for one in spaces.values() if inspect.ismodule(one)}
    if "numpy" in names and "torch" not in names:
        return ("numpy float64",)
    return ("torch float64", "torch float32", "numpy float64")


def _told(subject: Subject) -> Meaning | None:
    name = (subject.signature.name_of("mask") or "").lower().replace("_", "")
    if name in ("keep", "keepmask", "valid", "validmask", "attentionmask", "real"):
        return "keep"
    return "drop" if name in ("ignore", "drop", "keypaddingmask", "ispad") else None


def _with_masks(base: Reading, mask_means: Meaning | None, seed: int, raised: list[Exception]) -> Iterator[Reading]:
    """The base with each form of a mask that runs; the one that is right alone, if there is one."""
    subject = base.subject
    if subject.signature.name_of("mask") is None:
        yield base
        return
    told = mask_means or _told(subject)
    meanings: tuple[Meaning, ...] = ("keep", "drop", "add") if told is None else (told,)
    running: dict[bytes, Reading] = {}
    lost = False
    for form in _forms(base.axes, meanings):
        reading = base.masked(form)
        run = attempt(partial(reading.run, MASKED, seed), raised)
        if run is None:
            continue
        if run.fits(run.expected, _TOLERANCE[base.numbers]):
            yield reading
            return
        running.setdefault(_outputs(run), reading)
        lost = lost or not all(bool(one.isfinite().all()) for one in run.yours.values())
    if lost and base.numbers == "torch float64":
        # A mask may be made in 32 bits, of which the largest number of 64 bits is infinite.
        single = replace(base, numbers="torch float32")
        for form in _forms(base.axes, meanings):
            run = attempt(partial(single.masked(form).run, MASKED, seed), [])
            if run is not None and run.fits(run.expected, _TOLERANCE[single.numbers]):
                yield single.masked(form)
                return
    yield from running.values() or [base]


def _candidate(reading: Reading, seed: int, *, told: bool) -> Candidate:
    subject = reading.subject
    one_step = bool(reading.axes.queries)
    cases = [DIFFERENT] if one_step else [DIFFERENT, SQUARE]
    if _must_be_masked(subject):
        cases = []
    elif len(subject.sizes) > 1 and subject.sizes[0] != subject.sizes[-1]:
        cases.append(EQUAL)
    masks = {"mask", "lengths"} & set(subject.signature.roles.values()) and (
        reading.mask is not None or "lengths" in subject.signature.roles.values()
    )
    if masks:
        cases += [MASKED] if one_step else [MASKED, MASKED_SQUARE]

    def all_of(seed: int) -> tuple[tuple[Run, ...], list[Exception]]:
        raised: list[Exception] = []
        runs = [attempt(partial(reading.run, case, seed + place), raised) for place, case in enumerate(cases)]
        return tuple(run for run in runs if run is not None), raised

    runs, raised = all_of(seed)
    large = None
    if masks and subject.paper.unbounded:
        large = attempt(partial(reading.run, LARGE, seed), [])
    random = False
    if runs:
        first = runs[0]
        other = _read_again(reading, first, seed + 1000)
        random = other is not None and not _same(first, other)
    return Candidate(
        runs,
        _notes(reading, only_square=not any(run.case in (DIFFERENT, MASKED) for run in runs), masks=bool(masks)),
        frozenset() if told else frozenset({"polarity"}),
        _TOLERANCE[reading.numbers],
        lambda other: all_of(other)[0],
        large,
        raised[0] if raised else None,
        random,
        seed,
    )


def _read_again(reading: Reading, run: Run, seed: int) -> dict[str, torch.Tensor] | None:
    """What the code returns for the same inputs and other random numbers of its own."""
    try:
        return reading.read(reading.call(run.given, seed), run.expected)[0]
    except Exception:
        return None


def _same(run: Run, other: Mapping[str, torch.Tensor]) -> bool:
    return all(torch.allclose(one, other[name], equal_nan=True) for name, one in run.yours.items() if name in other)


def _notes(reading: Reading, *, only_square: bool, masks: bool) -> tuple[str, ...]:
    subject = reading.subject
    notes: list[str] = []
    roles = set(subject.signature.roles.values())
    if reading.mask is not None and reading.mask.meaning != "keep" and masks:
        notes.append(reading.mask.meaning)
    if not roles & {"mask", "lengths"}:
        notes.append("no mask")
    if reading.axes.key == "kbd":
        notes.append("time first")
    if reading.axes.batch:
        notes.append("no batch")
    if subject.assignment is not None:
        if subject.assignment.layout.note:
            notes.append(subject.assignment.layout.note)
        if any(role.endswith("bias") or role == "b" for role in subject.assignment.values):
            notes.append("bias")
        if isinstance(subject.code, nn.Module) and len(subject.assignment.names) < len(matrices(subject.code)):
            notes.append("more parameters")
    elif reading.turned != (subject.paper.name == "multi-head"):
        notes.append("transposed")
    if reading.numbers == "torch float32":
        notes.append("float32")
    if only_square and "x" not in roles:
        notes.append("only square")
    return tuple(notes)


def _summary(candidate: Candidate) -> bytes:
    """Alike for candidates that cannot be told apart."""
    parts = [str(sorted(candidate.barred)).encode()]
    for run in candidate.runs:
        keep = run.given["keep"]
        parts.append(str((run.case.name, tuple(run.given["query"].shape), keep is None)).encode())
        parts.append(_outputs(run))
    return b"".join(parts)


def _outputs(run: Run) -> bytes:
    return b"".join((one * 1e6).round().numpy().tobytes() for one in run.yours.values())


def _most_telling(raised: list[Exception], code: Any) -> Exception:
    """The exception that came furthest in the learner's code."""
    if not raised:
        return RuntimeError("it was never called")
    return max(raised, key=lambda error: (isinstance(error, Unreadable), _line(error)))


def _line(error: BaseException) -> int:
    here, last = error.__traceback__, 0
    while here is not None:
        if not of_libraries(here.tb_frame.f_code.co_filename):
            last = here.tb_lineno
        here = here.tb_next
    return last

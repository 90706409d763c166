"""How code that makes a table (a mask, positions, weights) is called: with sizes, with scores, or a module with an
input."""

import inspect
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from attentio.errors import AttentioError
from attentio.grading.attempt import attempt
from attentio.grading.axes import tensors_in
from attentio.grading.candidates import Candidate, Failed
from attentio.grading.paper import Given, Paper, none
from attentio.grading.quiet import quiet
from attentio.grading.reading import Case, Meaning, Run, Unreadable

_ONE_SIZE = ((5, 5), (7, 7))
_TWO_SIZES = ((5, 5), (3, 7))
_WIDTH = re.compile(
    r"d|width|depth|features|n_?embd|d_?embed|dim.*|.*(dim|d_?model|hiddens?|(emb|embed|embedding|hidden)_?size)"
)
_LENGTH = re.compile(r"n|t|l|size|.*(len|pos|block_?size|context).*")


def table_candidates(
    code: Callable[..., Any], paper: Paper, *, mask_means: Meaning | None, seed: int
) -> Iterator[Candidate]:
    """Ways to call it that work, and to read what it returns."""
    raised: list[Exception] = []
    ways = {"causal-mask": _mask_ways, "positional-encoding": _position_ways}.get(paper.name, _weight_ways)(code)
    meanings: tuple[Meaning, ...] = (mask_means,) if mask_means else ("keep", "drop")
    found = False
    for way, notes in ways:
        for meaning in meanings if paper.name == "causal-mask" else ("keep",):

            def run(seed: int, way: Any = way, meaning: Meaning = meaning) -> tuple[Run, ...]:
                return tuple(way(paper, meaning, seed))

            runs = attempt(partial(run, seed), raised)
            if runs is None:
                continue
            found = True
            barred = frozenset() if mask_means else frozenset({"polarity"})
            told = ("drop",) if meaning == "drop" else ()
            yield Candidate(runs, (*notes, *told), barred, 1e-4, run, seed=seed)
    if not found:
        raise Failed(raised[0] if raised else Unreadable("it could not be called"))


_Way = Callable[[Paper, Meaning, int], Iterator[Run]]


def _run(paper: Paper, given: Given, yours: Tensor) -> Run:
    expected = paper.oracle(given, none)
    ((name, wanted),) = expected.items()
    shaped = yours.double().squeeze()
    if shaped.shape != wanted.squeeze().shape:
        raise Unreadable(f"it returned {list(yours.shape)}; expected {name} {list(wanted.shape)}")
    sizes = ", ".join(
        f"{key} {size}" for key, size in given.items() if isinstance(size, int) and not isinstance(size, bool)
    )
    return Run(Case(sizes), given, expected, {name: shaped.reshape(wanted.shape)}, {})


def _quietly(code: Callable[..., Any], *arguments: Any, **named: Any) -> Tensor:
    with quiet():
        tensors = tensors_in(code(*arguments, **named))
    if not tensors:
        raise Unreadable("it returned no tensor")
    return tensors[0]


def _required(code: Callable[..., Any]) -> list[str]:
    parameters = inspect.signature(code).parameters.values()
    return [
        one.name
        for one in parameters
        if one.default is one.empty and one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
    ]


def _mask_ways(code: Callable[..., Any]) -> Iterator[tuple[_Way, tuple[str, ...]]]:
    names = [name for name in inspect.signature(code).parameters if name not in ("device", "dtype")]
    required = _required(code)
    two = len(required) > 1 or (len(names) > 1 and any("k" in name[:1] or "past" in name for name in names[1:2]))

    def sizes(as_tensor: str | None) -> _Way:
        def way(paper: Paper, meaning: Meaning, seed: int) -> Iterator[Run]:
            for queries, keys in _TWO_SIZES if two and as_tensor is None else _ONE_SIZE:
                if as_tensor == "features":
                    got = _quietly(code, torch.zeros(2, keys, 3))[..., :, :]
                elif as_tensor == "ids":
                    got = _quietly(code, torch.ones(2, keys, dtype=torch.long))
                else:
                    got = _quietly(code, queries, keys) if two else _quietly(code, keys)
                while got.ndim > 2:
                    got = got[0]
                yield _run(paper, {"q": queries, "k": keys}, _kept(got, meaning))

        return way

    yield sizes(None), ()
    if not two:
        yield sizes("ids"), ()
        yield sizes("features"), ()


def _kept(mask: Tensor, meaning: Meaning) -> Tensor:
    """1 where a mask lets look; one that is added to scores says so itself."""
    if mask.is_floating_point() and bool((mask < -1).any()):
        return (mask > -1).double()
    kept = mask.double()
    return kept if meaning == "keep" else 1 - kept


def _position_ways(code: Callable[..., Any]) -> Iterator[tuple[_Way, tuple[str, ...]]]:
    if isinstance(code, nn.Module) or (inspect.isclass(code) and issubclass(code, nn.Module)):
        for time_first in (False, True):
            yield _module_way(code, time_first), ("time first",) if time_first else ()
        return

    def way(paper: Paper, meaning: Meaning, seed: int) -> Iterator[Run]:
        for count, width in ((7, 8), (11, 6)):
            names = [name.lower() for name in _required(code) or inspect.signature(code).parameters]
            turned = bool(names and _WIDTH.fullmatch(names[0]) and not _LENGTH.fullmatch(names[0]))
            got = _quietly(code, *((width, count) if turned else (count, width)))
            yield _run(paper, {"n": count, "d": width, "x": torch.zeros(()), "adds": False}, got)

    yield way, ()


def _weight_ways(code: Callable[..., Any]) -> Iterator[tuple[_Way, tuple[str, ...]]]:
    """Of scores [batch, queries, keys], or as many of these axes as it takes."""
    others = {"dim": -1, "axis": -1, "alpha": 1.5}
    called: Any = _made(code, others) if inspect.isclass(code) else code
    function = called.forward if isinstance(called, nn.Module) else called
    named = {name: others[name] for name in _required(function)[1:] if name in others}

    def way(paper: Paper, meaning: Meaning, seed: int) -> Iterator[Run]:
        raised: list[Exception] = []
        for shape in ((2, 3, 7), (3, 7), (7,)):
            for as_array in (False, True):
                runs = attempt(partial(weighed, shape, as_array, paper, seed), raised)
                if runs is not None:
                    yield from runs
                    return
        raise raised[0]

    def weighed(shape: tuple[int, ...], as_array: bool, paper: Paper, seed: int) -> list[Run]:
        generator = torch.Generator().manual_seed(seed)
        found = []
        for spread in (1.0, 0.3, 3.0):
            scores = spread * torch.randn(shape, generator=generator, dtype=torch.float64)
            given = scores.numpy().copy() if as_array else scores.clone()
            found.append(_run(paper, {"scores": scores, "keys": shape[-1]}, _quietly(called, given, **named)))
        return found

    yield way, ()


def _made(code: type[Any], others: dict[str, float]) -> Any:
    """An instance; AttentioError where it takes what is not known."""
    try:
        return code(**{name: others[name] for name in _required(code) if name in others})
    except TypeError as error:
        raise AttentioError(f"{code.__name__} cannot be made: {error}; give an instance") from None


def _module_way(code: Any, time_first: bool) -> _Way:
    def way(paper: Paper, meaning: Meaning, seed: int) -> Iterator[Run]:
        generator = torch.Generator().manual_seed(seed)
        for count, width in ((7, 8), (11, 6)):
            module, width = _module(code, width)
            x = torch.randn(3, count, width, generator=generator)
            got = _quietly(module, x.transpose(0, 1) if time_first else x)
            if time_first and got.ndim == 3 and got.shape[:2] == (count, 3):
                got = got.transpose(0, 1)
            adds = got.shape == x.shape
            yield _run(paper, {"n": count, "d": width, "x": x.double(), "adds": adds}, got)

    return way


def _module(code: Any, width: int) -> tuple[nn.Module, int]:
    if isinstance(code, nn.Module):
        tables = [one for one in code.state_dict().values() if one.ndim > 1] or [
            one for one in vars(code).values() if isinstance(one, Tensor) and one.ndim > 1
        ]
        known = [one for one in vars(code).values() if isinstance(one, int) and not isinstance(one, bool) and one > 1]
        return code.eval(), tables[0].shape[-1] if tables else known[0] if known else width
    arguments = {}
    for name, one in inspect.signature(code).parameters.items():
        plain = name.lower()
        sized = one.default in (one.empty, None) or type(one.default) is int
        if "drop" in plain or plain == "p":
            arguments[name] = 0.0
        elif sized and _LENGTH.fullmatch(plain):
            arguments[name] = 64
        elif one.default is one.empty or (sized and _WIDTH.fullmatch(plain)):
            arguments[name] = width
    return code(**arguments).eval(), width

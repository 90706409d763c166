"""Which parameter of somebody's module is which matrix of the paper: told from shapes, names and order."""

import re
from collections.abc import Iterator, Mapping
from itertools import islice, pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from attentio.grading.paper import Given, Layout, Paper

MOST = 12
"""Ways to name parameters that are tried."""

_WORDS = {
    "W": "query q dec decoder hidden state s wa w1 w wq target general attn",
    "U": "key k keys enc encoder memory annotations ua w2 u wk source h",
    "v": "v va vector energy score out full align",
    "Q": "q query queries wq qs",
    "K": "k key keys wk ks",
    "V": "v value values wv vs",
    "O": "o out output proj wo fc projection unify dense c_proj",
    "Wp": "wp predict position p w",
    "vp": "vp v predict p",
    "QKV": "qkv in_proj attn c_attn",
}


class Matrix(NamedTuple):
    """A matrix of a module as [out, in], or a vector; with its bias, if it has one.

    heads: how many heads it was put together from, where each was a module of its own.
    """

    name: str
    value: Tensor
    bias: Tensor | None
    heads: int | None = None


class Assignment(NamedTuple):
    """The paper's parameters, by role, as a module holds them; sizes that follow; layout.

    names: of the module's parameters, by role.
    """

    values: Given
    sizes: Mapping[str, int]
    layout: Layout
    names: Mapping[str, str]


def matrices(module: nn.Module) -> list[Matrix]:
    """What a module holds, in the order in which it was made; heads that are modules of their own are joined."""
    found: list[Matrix] = []
    for path, one in module.named_modules():
        if isinstance(one, (nn.LayerNorm, nn.Embedding)):
            continue
        own = dict(one.named_parameters(recurse=False))
        biases = {name for name in own if name.endswith("bias") and f"{name.removesuffix('bias')}weight" in own}
        for name, value in own.items():
            if name in biases:
                continue
            bias = own.get(f"{name.removesuffix('weight')}bias") if name.endswith("weight") else None
            where = path if name == "weight" else f"{path}.{name}".lstrip(".")
            heads = value.shape[0] if value.ndim == 3 and value.shape[0] > 1 else None
            flat = value.permute(0, 2, 1).flatten(0, 1) if heads else value.squeeze()
            found.append(Matrix(where, flat, bias, heads))
    return _joined(found)


def _joined(found: list[Matrix]) -> list[Matrix]:
    groups: dict[str, list[Matrix]] = {}
    for one in found:
        groups.setdefault(re.sub(r"(^|\.)\d+\.", r"\1*.", one.name), []).append(one)
    joined = []
    for name, group in groups.items():
        if "*." not in name or len(group) < 2:
            joined += group
            continue
        bias = None if group[0].bias is None else torch.cat([one.bias for one in group if one.bias is not None])
        joined.append(Matrix(name, torch.cat([one.value for one in group]), bias, len(group)))
    return joined


def assignments(module: nn.Module, paper: Paper, chosen: Mapping[str, str], heads: int | None) -> list[Assignment]:
    """Ways to see the paper's parameters in a module's, the likeliest first.

    chosen: names of parameters by role, where their owner has told them.
    """
    return _ranked(matrices(module), paper, chosen, heads)


def assigned_from(held: list[Matrix], paper: Paper, heads: int | None) -> list[Assignment]:
    """The same of matrices that are named by their roles."""
    return _ranked(held, paper, {one.name: one.name for one in held}, heads)


def _ranked(held: list[Matrix], paper: Paper, chosen: Mapping[str, str], heads: int | None) -> list[Assignment]:
    fixed = {role: name.removesuffix(".weight") if name != "weight" else name for role, name in chosen.items()}
    ranked: list[tuple[float, Assignment]] = []
    for layout in paper.layouts:
        told = {"WU" if role == "W" and "WU" in layout.shapes else role: name for role, name in fixed.items()}
        if not set(told) <= set(layout.shapes):
            continue
        for one in islice(_fits(held, layout, told), 2000):
            cost = _cost(one, held) + 3 * (len(held) - len(one)) + 0.1 * (layout.note is not None)
            turned_cost = sum(turned for _, turned in one.values())
            for sizes in _sizes(one, layout, heads):
                ranked.append((cost + 0.5 * turned_cost, _assigned(one, layout, sizes)))
        if told and ranked:
            break
    ranked.sort(key=lambda pair: pair[0])
    return [one for _, one in ranked]


_Choice = dict[str, tuple[Matrix, bool]]


def _fits(held: list[Matrix], layout: Layout, fixed: Mapping[str, str]) -> Iterator[_Choice]:
    roles = list(layout.shapes)

    def go(done: _Choice) -> Iterator[_Choice]:
        if len(done) == len(roles):
            yield done
            return
        role = roles[len(done)]
        rank = len(layout.shapes[role])
        for matrix in held:
            taken = any(matrix.name == other.name for other, _ in done.values())
            if taken or matrix.value.ndim != rank or fixed.get(role, matrix.name) != matrix.name:
                continue
            for turned in (False, True) if rank == 2 and not fixed and matrix.bias is None else (False,):
                yield from go({**done, role: (matrix, turned)})

    yield from go({})


def _sizes(choice: _Choice, layout: Layout, heads: int | None) -> Iterator[dict[str, int]]:
    bound: dict[str, int] = {}
    sums: list[tuple[str, int]] = []
    for role, shape in layout.shapes.items():
        matrix, turned = choice[role]
        got = matrix.value.shape[::-1] if turned else matrix.value.shape
        for symbol, size in zip(shape, got, strict=True):
            if symbol.startswith("3*"):
                if size % 3:
                    return
                symbol, size = symbol[2:], size // 3
            if "+" in symbol:
                sums.append((symbol, size))
            elif bound.setdefault(symbol, size) != size:
                return
    joined = {matrix.heads for matrix, _ in choice.values() if matrix.heads}
    if "d" in bound:
        inner = bound.get("i", bound["d"])
        counts = joined or ({heads} if heads else {n for n in range(2, inner) if inner % n == 0} or {1})
        for count in sorted(counts):
            if inner % count == 0:
                yield {**bound, "heads": count, "dq": bound["d"], "dk": bound["d"], "dv": bound["d"]}
        return
    if not sums:
        yield bound
        return
    first, second = sums[0][0].split("+")
    total = sums[0][1]
    for part in dict.fromkeys([total // 2, total // 3, total - total // 3, *range(1, total)]):
        yield {**bound, first: part, second: total - part}


def _assigned(choice: _Choice, layout: Layout, sizes: dict[str, int]) -> Assignment:
    values: Given = dict(sizes)
    for role, (matrix, turned) in choice.items():
        values[role] = matrix.value.detach().T if turned else matrix.value.detach()
        if matrix.bias is not None:
            values[f"{role}.bias"] = matrix.bias.detach()
    values = layout.to_paper(values)
    return Assignment(values, sizes, layout, {role: matrix.name for role, (matrix, _) in choice.items()})


def _cost(choice: _Choice, held: list[Matrix]) -> float:
    """How badly names and order agree with the roles."""
    cost = 0.0
    for role, (matrix, _) in choice.items():
        words = set(re.split(r"[._*]", matrix.name.lower())) | {matrix.name.lower().rpartition(".")[2].replace("_", "")}
        own = words & set(_WORDS.get(role, "").split())
        others = [other for other in choice if other != role and words & set(_WORDS.get(other, "").split())]
        cost += 0.0 if own else 2.0 if others else 1.0
    places = [[one.name for one in held].index(matrix.name) for matrix, _ in choice.values()]
    return cost + 0.2 * sum(a > b for a, b in pairwise(places))


def freshly_drawn(module: nn.Module, generator: torch.Generator) -> None:
    """New values in every parameter, of a size that shows each mistake: a bias that begins at 0 hides one."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            wide = parameter.ndim > 1 and min(parameter.shape[-2:]) > 1
            scale = 1.2 * parameter.shape[-1] ** -0.5 if wide else 2 * max(parameter.shape) ** -0.5
            scale = 0.5 if name.endswith("bias") else scale
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * scale)

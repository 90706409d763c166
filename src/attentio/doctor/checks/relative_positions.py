"""Positions that turn queries and keys do it wrongly: the queries alone, or the keys the other way round.

With the same token everywhere, what scores still differ by is positions. Where these come in within the attention, as
rotations do, scores must depend on the distance of a query and a key. If they depend on the query's place alone, the
softmax takes them out again; if on the sum of both places, one of the two is turned the wrong way.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import normalize

from attentio.doctor.diagnosis import Finding, Skip
from attentio.doctor.patient.edits import all_alike, changed
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.padding_edits import without_padding
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.attentions import Attention, watching

ID = "relative-positions"
TITLE = "scores depend on the distance of query and key"
NEEDS = ("positions",)

FEWEST = 5
"""Positions, at least, that tell one pattern from another."""
_SAME = 1e-4  # of the spread: tables of sines are often of float32


def check(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """Every attention of a sequence to itself, in one run."""
    values = without_padding(facts)
    for one in facts.sequences:
        values |= all_alike(facts, one)
    lengths = {one.length for one in facts.sequences if one.length >= FEWEST}
    seen: dict[str, Attention] = {}

    def visit(attention: Attention) -> None:
        q, k = attention.scores.shape[2:]
        if attention.kind == "self" and q == k and q in lengths:
            seen.setdefault(attention.name, attention)

    with watching(subject, facts, visit):
        subject.run(values, what="with the same token everywhere")
    if not seen:
        raise Skip(f"no attention of a sequence to itself, with {FEWEST} positions or more, was seen")
    kinds = {name: kind for name, attention in seen.items() if (kind := _kind(attention))}
    others = _of_two_sequences(subject, facts, values, seen) if kinds else ()
    for name, kind in kinds.items():
        if name not in others:
            yield _finding(seen[name], name, kind, tokens=all(one.kind == "tokens" for one in facts.sequences))


def _of_two_sequences(
    subject: Subject, facts: Facts, values: dict[str, Tensor], seen: dict[str, Attention]
) -> set[str]:
    """Whose keys stay when a decoder reads something else, and whose queries do not: no name had said so."""
    if len(facts.sequences) < 2:
        return set()
    target = facts.predicted
    found: set[str] = set()

    def visit(after: Attention) -> None:
        before = seen.get(after.name)
        if before is None or None in (before.query, before.key, after.query, after.key):
            return
        if _equal(before.key, after.key) and not _equal(before.query, after.query):
            found.add(after.name)

    other = changed(facts, target, torch.ones(target.batch_size, target.length, dtype=torch.bool))
    with watching(subject, facts, visit):
        subject.run(values | other, what="with other contents for the decoder")
    return found


def _equal(before: Tensor | None, after: Tensor | None) -> bool:
    return before is not None and after is not None and torch.equal(before, after)


def _kind(attention: Attention) -> str:
    """What is wrong with the scores' pattern; "" if nothing is known to be."""
    scores, allowed = attention.scores[0], attention.allowed[0]
    known = scores[allowed]
    if not known.numel() or not known.isfinite().all():
        return ""
    spread = float(known.max() - known.min())
    if spread <= 1e-7 * float(known.abs().max()):
        return ""  # blind to positions, as one without any is

    def constant(step_q: int, step_k: int, scores: Tensor = scores) -> bool:
        """Whether scores stay the same with so many steps of query and key."""
        q, k = slice(None, -step_q or None), slice(max(-step_k, 0), -step_k if step_k > 0 else None)
        q_next, k_next = slice(step_q, None), slice(max(step_k, 0), step_k if step_k < 0 else None)
        both = allowed[:, q, k] & allowed[:, q_next, k_next]
        apart = (scores[:, q, k] - scores[:, q_next, k_next])[both].abs()
        return bool(apart.numel()) and float(apart.max()) <= _SAME * spread

    if constant(1, 1):
        return ""
    if constant(0, 1):
        return "" if _is_scaled(attention) else "queries"
    itself = scores.diagonal(dim1=-2, dim2=-1).unsqueeze(-1)
    if itself.isfinite().all() and constant(1, 1, scores - itself):
        return ""  # the softmax takes out what a query adds to all its scores, as where ALiBi counts the keys' places
    if constant(1, 0):
        return "keys"
    if constant(1, -1):
        return "sum"
    if not _is_rotation(attention):
        return ""
    seen_on_grid = _kind_on_a_grid(scores, spread) if allowed.all() else None
    return "rotation" if seen_on_grid is None else seen_on_grid


def _kind_on_a_grid(scores: Tensor, spread: float) -> str | None:
    """Of positions that are the cells of a grid, row by row, whose rows and columns turn features of their own; None
    where they are no such cells. A class token may stand before them."""
    for first in (0, 1):
        cells = scores.shape[1] - first
        for width in (n for n in range(2, cells // 2 + 1) if cells % n == 0):
            grid = scores[:, first:, first:].unflatten(2, (-1, width)).unflatten(1, (-1, width))
            for kind, seen in (("", grid), ("sum", grid.flip(3, 4))):
                down = seen[:, :-1, :, :-1] - seen[:, 1:, :, 1:]
                across = seen[:, :, :-1, :, :-1] - seen[:, :, 1:, :, 1:]
                if max(float(down.abs().max()), float(across.abs().max())) <= _SAME * spread:
                    return kind
    return None


def _is_scaled(attention: Attention) -> bool:
    """Whether queries differ from place to place by a factor alone, as a temperature that falls with the keys seen."""
    query = attention.query
    if query is None or query.shape[-2] != attention.scores.shape[2]:
        return False
    return not _differs(normalize(query.detach().double(), dim=-1))


def _is_rotation(attention: Attention) -> bool:
    """Whether queries and keys differ from place to place, but not in length, and what is brought is the same."""
    query, key, context = attention.query, attention.key, attention.context
    if query is None or key is None or query.ndim != 4 or attention.api == "multihead":
        return False
    if attention.api == "softmax" and key.shape[-2] == attention.features:  # as it stands in the product
        key = key.mT
    turned = all(_spread(one.double().norm(dim=-1)) < 1e-5 and _differs(one) for one in (query, key))
    return turned and context.ndim == 4 and not _differs(context)


def _spread(sizes: Tensor) -> float:
    return float(((sizes - sizes[..., :1]).abs() / sizes.abs().amax().clamp(min=1e-30)).max())


def _differs(tensor: Tensor) -> bool:
    rows = tensor.detach().double()
    return bool((rows - rows[..., :1, :]).abs().max() > 1e-5 * rows.abs().max().clamp(min=1e-30))


_SAID = {
    "queries": (
        "positions act on queries alone",
        "scores change with the place of the query, and not with that of the key. The softmax over keys takes out what "
        "all keys share: the weights do not know where a key stands. Mostly the rotation was applied to queries only.",
    ),
    "keys": (
        "positions act on keys alone",
        "scores change with the place of the key, and not with that of the query: a query cannot prefer what is near "
        "it, only what stands at some place of the whole. Mostly the rotation was applied to keys only.",
    ),
    "sum": (
        "queries and keys are turned in opposite directions",
        "scores depend on the sum of the two places in place of their difference: a pair that is moved along as it is "
        "gets another score. The sign of the sine is wrong on one of the two sides.",
    ),
    "rotation": (
        "queries and keys are turned, but not alike",
        "queries and keys are turned by their places (their lengths stay), and yet scores do not depend on the "
        "distance "
        "alone: a pair that is moved along as it is gets another score. Mostly the two are turned by other angles, or "
        "in other pairs of features (halves in one, neighbours in the other).",
    ),
}


def _finding(attention: Attention, name: str, kind: str, *, tokens: bool) -> Finding:
    title, explanation = _SAID[kind]
    scores = attention.scores[0, 0]
    last = len(scores) - 1
    certain = kind in ("queries", "sum")
    return Finding(
        ID,
        "error" if certain else "warning" if tokens else "note",
        f"{attention.title}: {title}",
        f"With the same token at every position, {explanation}",
        {
            "score of the last query with the first key": float(scores[last, 0]),
            "of the last with the second": float(scores[last, 1]),
            "of the one before the last with the first": float(scores[last - 1, 0]),
        },
        "Turn both by the same function, with the same places: `q, k = rotate(q, positions), rotate(k, positions)`; "
        "the product then depends on the difference of the places.",
        name,
    )

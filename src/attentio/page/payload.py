"""What a page reads: the captured attention as groups of layers, its tokens, and its numbers as packed text.

The JSON of the page (assets/app.js has the names): groups of calls that differ in their layer only, each with entries,
one a layer, whose numbers are the names of blobs: `weights[item][head]`, with `indices` where only the largest weights
were kept, and `thumbs[item]`, all heads in small, where the matrix is large. Where it is small, `weights[item]` is one
blob of all heads. `does[item][head]` is what each head does. Layers and heads are counted from 1.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from attentio.capturing.record import SeenAttention
from attentio.page.describe import DULL, Does, heads_of
from attentio.page.entry import numbers_of
from attentio.page.evidence import NOTHING, Evidence, evidence_json, gradient_blobs
from attentio.page.numbers import packed
from attentio.page.plan import notes, plan
from attentio.page.tokens import Tokens, layer_number
from attentio.page.walk import Packer, Walk, walk_json, within_limit
from attentio.pictures.colours import RAMPS
from attentio.pictures.labels import pretty_beside

Alternatives = Sequence[Sequence[tuple[str, float]]]


class Payload(NamedTuple):
    """head: all but the numbers, for JSON. blobs: packed numbers, by the names that head uses."""

    head: dict[str, Any]
    blobs: dict[str, str]


def build(
    calls: Sequence[SeenAttention],
    tokens: Tokens,
    *,
    alternatives: Sequence[Alternatives] | None,
    megabytes: float,
    captured: Sequence[str] = (),
    walks: Sequence[Walk] | None = (),
    evidence: Evidence = NOTHING,
    title: str = "",
    version: str = "",
    blobs: dict[str, str] | None = None,
) -> Payload:
    """The payload of a page about these calls.

    Args:
        tokens: of all calls.
        alternatives: of each sequence of the batch, for each target token.
        megabytes: what the weights may take, before they are compressed.
        captured: the notes of the capture.
        walks: what was computed around some of the calls; None where it was too much.
        evidence: what else is known of the output.
        title: the heading.
        version: the name of these calls among others on the page.
        blobs: of the others, to which theirs are added.

    Raises:
        ValueError: tokens, alternatives, walks, evidence and weights do not belong together.
        AttentioError: the weights are too many.
    """
    blobs = {} if blobs is None else blobs
    mark = f"{version}:" if version else ""  # before the names of its lists of tokens

    def blob(array: np.ndarray) -> str:
        name = f"b{len(blobs)}"
        blobs[name] = packed(array)
        return name

    made = plan(calls, megabytes)
    pack = Packer(blob)
    shown = walks if walks is not None and within_limit(walks) else None
    around = {(walk.attention, walk.call): walk for walk in shown or ()}
    if strangers := around.keys() - {(call.name, call.call) for call in calls}:
        raise ValueError(f"walks must be of attentions that were seen, got {sorted(strangers)}")
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    shares: list[float] = []
    for call, does in zip(calls, _what_heads_do(calls, tokens), strict=True):
        numbers, of_heads = numbers_of(call, made, blob)
        shares += of_heads
        walk = around.get((call.name, call.call))
        entry = {
            "name": call.name,
            "layer": layer_number(call.name),
            "alpha": call.alpha,
            "walk": walk and walk_json(walk, pack),
            "does": [[_does_json(one) for one in heads] for heads in does],
            "gradient": gradient_blobs(evidence, call, blob),
        }
        group = _group(call, tokens, version, mark)
        groups.setdefault(tuple(group.values()), group | {"entries": []})["entries"].append(entry | numbers)
    largest_batch = max(group["items"] for group in groups.values())
    if tokens.batch != largest_batch:
        raise ValueError(
            f"tokens must be a list for each of {largest_batch} sequences of the batch, got {tokens.batch}"
        )
    if walks and largest_batch > 1:
        raise ValueError(f"walks must be of one sequence, got a batch of {largest_batch}")
    head = {
        "notes": [
            *(doubt._asdict() for doubt in evidence.doubts),
            *({"key": "notes.captured", "values": {"note": note}} for note in captured),
            *notes(made, calls, float(np.mean(shares)) if shares else 1.0, megabytes),
            *([{"key": "notes.walks", "values": {}}] if shown is None else []),
            *({"key": missing, "values": {}} for missing in evidence.missing),
        ],
        "items": largest_batch,
        "groups": list(groups.values()),
        "ramps": {theme: ramp.tolist() for theme, ramp in RAMPS.items()},
        "opening": _opening(list(groups.values())),
        "tokens": {mark + name: shown for name, shown in tokens.json().items()},
        "alternatives": _alternatives(alternatives, tokens),
        "title": title,
    } | evidence_json(evidence, tokens, blob)
    return Payload(head, blobs)


def _group(call: SeenAttention, tokens: Tokens, version: str, mark: str) -> dict[str, Any]:
    """What the calls of a group have in common."""
    sides = tokens.sides(call)
    return {
        "name": pattern_of(call.name),
        "version": version,
        "kind": call.kind,
        "call": call.call,
        "items": call.weights.shape[0],
        "queries": call.weights.shape[2],
        "keys": call.keys,
        "queryStart": call.q_start,
        "queryTokens": mark + sides.query,
        "queryFrom": sides.query_from,
        "keyTokens": mark + sides.key,
    }


def joined(payloads: Sequence[Payload]) -> Payload:
    """Several versions as one page, which opens on the last; their blobs are the same dictionary.

    Raises:
        ValueError: the versions have different numbers of sequences.
    """
    heads = [payload.head for payload in payloads]
    if len({head["items"] for head in heads}) > 1:
        raise ValueError(f"all versions must have as many sequences, got {[head['items'] for head in heads]}")
    groups = [group for head in heads for group in head["groups"]]
    notes = [
        note for at, head in enumerate(heads) for note in head["notes"] if note not in heads[at - 1]["notes"] or not at
    ]
    opening = heads[-1]["opening"]
    opening = opening | {"group": opening["group"] + len(groups) - len(heads[-1]["groups"])}
    tokens = {name: shown for head in heads for name, shown in head["tokens"].items()}
    return Payload(
        heads[-1] | {"groups": groups, "notes": notes, "opening": opening, "tokens": tokens}, payloads[0].blobs
    )


def pattern_of(name: str) -> str:
    """`decoder.layers.3.cross_attention` is `decoder.layers.*.cross_attention`."""
    return ".".join("*" if part.isdigit() else part for part in name.split("."))


def _what_heads_do(calls: Sequence[SeenAttention], tokens: Tokens) -> list[list[list[Does]]]:
    """Of each call, by sequence and head; a few rows of a text do what the attention does on the whole of it."""
    found = [[heads_of(call, item, tokens) for item in range(call.weights.shape[0])] for call in calls]
    whole: dict[tuple[str, int, tuple[int, ...]], tuple[int, list[list[Does]]]] = {}

    def same(call: SeenAttention) -> tuple[str, int, tuple[int, ...]]:
        return call.name, len(call.weights), tuple(call.heads)

    for call, does in zip(calls, found, strict=True):
        if call.kind == "self" and call.weights.shape[2] > whole.get(same(call), (0, []))[0]:
            whole[same(call)] = call.weights.shape[2], does
    return [
        [
            [named._replace(cell=own.cell) for own, named in zip(*sides, strict=True)]
            for sides in zip(does, whole.get(same(call), (0, does))[1], strict=True)
        ]
        for call, does in zip(calls, found, strict=True)
    ]


def _does_json(does: Does) -> dict[str, Any]:
    numbers = {name: round(getattr(does, name), 4) for name in ("share", "evenness", "sink", "telling")}
    return {"kind": does.kind, "cell": does.cell} | numbers


def _opening(groups: Sequence[dict[str, Any]]) -> dict[str, int]:
    """The most telling head of the first sequence, of the attention to the source where there is one."""
    group = next((place for place, each in enumerate(groups) if each["kind"] == "cross"), 0)
    places = [
        (one["kind"] not in DULL, one["telling"], -layer, -head)
        for layer, entry in enumerate(groups[group]["entries"])
        for head, one in enumerate(entry["does"][0])
    ]
    _, _, layer, head = max(places)
    return {"group": group, "layer": -layer, "head": -head}


def _alternatives(alternatives: Sequence[Alternatives] | None, tokens: Tokens) -> list[Any] | None:
    if alternatives is None:
        return None
    lengths = [len([token for token in each if token is not None]) for each in tokens.lists.get("target", [])]
    if [len(each) for each in alternatives] != lengths:
        raise ValueError(
            f"alternatives must have one list for each target token, {lengths} of them in the sequences of the batch, "
            f"got {[len(each) for each in alternatives]}"
        )
    targets = [[token for token in each if token is not None] for each in tokens.lists["target"]]
    return [
        [
            [[pretty_beside(token, target), round(float(chance), 6), token == said] for token, chance in place]
            for place, said in zip(each, target, strict=True)
        ]
        for each, target in zip(alternatives, targets, strict=True)
    ]

"""The attention of the same texts at several moments of a training, as one page: how it forms."""

from collections.abc import Mapping
from typing import Any, Literal

import torch

from attentio.capturing.record import SeenAttention
from attentio.capturing.seen import Seen
from attentio.errors import AttentioError
from attentio.page.describe import Does, heads_of
from attentio.page.document import Page, document
from attentio.page.numbers import half, packed
from attentio.page.page import SCRIPTS, STRINGS, STYLES
from attentio.page.payload import build
from attentio.page.tokens import Tokens

_FIRST = SCRIPTS.index("heat.js")
"""It is the first of the views."""


def over_time(
    kept: Mapping[int, Seen], *, begin: str, title: str = "", language: Literal["en", "ko"] | None = None
) -> Page:
    """The page: all that there is to see of the last moment, and a slider over all of them.

    Below the map of a head stand its curves: the evenness of its rows, the mean of their largest weights, and the share
    of its attention that the rule explains which it is named after at last (`describe`); of attention to another
    sequence always the best path that never goes back.

    Args:
        kept: by updates, with their tokens; the same calls of the same sizes.
        begin: the token that a decoder reads first.
        title: the heading.
        language: of the page at first; None: the reader's.

    Raises:
        AttentioError: they are not of the same texts and model, or too many for a page.
    """
    steps = sorted(kept)
    last = kept[steps[-1]]
    for step in steps:
        _require_same(step, kept[step], last)
    targets = last.target_tokens
    tokens = Tokens(
        source=last.tokens,
        target=targets,
        decoder=None if targets is None else [[begin, *one[:-1]] for one in targets],
    )
    blobs: dict[str, str] = {}
    head = build(last, tokens, alternatives=None, megabytes=40.0, captured=last.notes, title=title, blobs=blobs).head
    places = {one.name: place for place, one in enumerate(last)}
    groups = [
        [_entry([kept[step][places[entry["name"]]] for step in steps], tokens, blobs) for entry in group["entries"]]
        for group in head["groups"]
    ]
    return document(
        head | {"time": {"steps": steps, "groups": groups}},
        blobs,
        scripts=(*SCRIPTS[:_FIRST], "over_time.js", *SCRIPTS[_FIRST:]),
        styles=(*STYLES, "over_time.css"),
        strings=(*STRINGS, "over_time"),
        language=language,
    )


def _require_same(step: int, seen: Seen, last: Seen) -> None:
    shapes = [[(one.name, one.call, tuple(one.weights.shape)) for one in each] for each in (seen, last)]
    if shapes[0] != shapes[1] or (seen.tokens, seen.target_tokens) != (last.tokens, last.target_tokens):
        raise AttentioError(f"the attention after {step} updates is not of the same texts and model as the last")
    if last.tokens is None or len({one.name for one in last}) < len(last):
        raise AttentioError("attention over time must have its tokens, and one call of each module")


def _entry(calls: list[SeenAttention], tokens: Tokens, blobs: dict[str, str]) -> dict[str, Any]:
    """One attention: for each sequence its weights [steps, heads, q, k], and for each of its heads the curves."""
    batch, heads = calls[0].weights.shape[:2]
    entry: dict[str, Any] = {"weights": [], "curves": []}
    for item in range(batch):
        name = f"t{len(blobs)}"
        blobs[name] = packed(half(torch.stack([call.weights[item] for call in calls])))
        entry["weights"].append(name)
        real = torch.tensor([token is not None for token in tokens.of(calls[0], item)[0]])
        largest = [call.weights[item][:, real].float().amax(-1).mean(-1).tolist() for call in calls]
        does = [heads_of(call, item, tokens) for call in calls]
        entry["curves"].append(
            [_curves([each[head] for each in does], [each[head] for each in largest]) for head in range(heads)]
        )
    return entry


def _curves(does: list[Does], largest: list[float]) -> dict[str, Any]:
    """Of one head, a number for each step."""
    shares = [{str(rule): share for rule, share in each.shares.items()} for each in does]
    rule = "aligned" if "aligned" in shares[-1] else does[-1].kind
    known = rule in shares[-1]
    return {
        "evenness": [round(each.evenness, 4) for each in does],
        "largest": [round(each, 4) for each in largest],
        "rule": rule if known else None,
        "share": [round(each.get(rule, 0.0), 4) for each in shares] if known else None,
    }

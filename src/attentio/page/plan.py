"""How much of what was seen goes into a page, and what is said about the rest."""

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

from attentio.capturing.record import SeenAttention
from attentio.errors import AttentioError
from attentio.page.numbers import Coding

logger = logging.getLogger(__name__)

HALF_NUMBERS = 2**20  # up to so many weights are kept as they were captured
BYTE_NUMBERS = 2**24  # up to so many have a byte each, and more a coarser one
PART_NUMBERS = 2**22  # of queries, keys, values and scores
FEWEST_KEPT = 8


class Plan(NamedTuple):
    """coding: of the weights. keep: how many weights of a row, None for all. parts: whether these go in."""

    coding: Coding
    keep: int | None
    parts: bool


def plan(calls: Sequence[SeenAttention], megabytes: float) -> Plan:
    """The most exact form of all weights that stays within the limit.

    Few weights are kept as captured, many in a byte each, very many in a coarser one, and of too many the largest of
    each row.

    Raises:
        AttentioError: even the largest few are too many.
    """
    numbers = sum(call.weights.numel() for call in calls)
    parts = sum(_part_numbers(call) for call in calls)
    room = int(megabytes * 1e6)
    # A kept weight takes a byte and its key two or four.
    if numbers <= HALF_NUMBERS and 2 * numbers <= room:
        return Plan("half", None, parts <= PART_NUMBERS)
    coding: Coding = "byte" if numbers <= BYTE_NUMBERS else "coarse"
    if sum(call.weights.numel() * (1 if call.indices is None else 3) for call in calls) <= room:
        return Plan(coding, None, parts <= PART_NUMBERS)
    rows = sum(call.weights.shape[:3].numel() for call in calls)
    keep = room // (3 * rows)
    if keep < FEWEST_KEPT:
        raise AttentioError(
            f"{len(calls)} attentions with {rows:,} rows are too many for a page of {megabytes:g} megabytes: "
            "capture fewer with layers= and heads=, show some of them, as seen.of(name), or raise megabytes="
        )
    return Plan(coding, keep, parts <= PART_NUMBERS)


def _part_numbers(call: SeenAttention) -> int:
    tensors = (call.query, call.key, call.value, call.scores)
    return sum(tensor.numel() for tensor in tensors if tensor is not None)


def notes(made: Plan, calls: Sequence[SeenAttention], share: float, megabytes: float) -> list[dict[str, Any]]:
    """What the page says was left out: keys of its strings, with their values. The log says it as well."""
    said: list[dict[str, Any]] = []
    longest = max(call.keys for call in calls)
    if made.keep is not None and made.keep < longest:
        percent = f"{share:.1%}"
        said.append(
            {"key": "notes.kept", "values": {"kept": made.keep, "keys": longest, "share": percent, "limit": megabytes}}
        )
        logger.warning(
            "the page keeps the %d largest weights of each row of up to %d (%s of the attention), to stay within "
            "megabytes=%g; capture fewer layers or heads, or raise megabytes, for all",
            made.keep, longest, percent, megabytes,
        )  # fmt: skip
    if made.coding == "coarse":
        said.append({"key": "notes.coarse", "values": {}})
    if not made.parts:
        said.append({"key": "notes.parts", "values": {}})
        logger.warning("queries, keys, values and scores are too many for a page and were left out")
    return said

"""at.describe: what each head does on this text, by the shares of its attention that simple rules explain.

Every share is a mean over the queries that had a choice, at least two keys that they may attend to, and that had such
a key; where these are fewer than three, the rule does not apply. p is the place of the query among the keys; only
self-attention has one.

    previous     the weight of key p - 1
    next         of key p + 1
    self         of key p
    first        of key 0
    separator    of the other keys that are special tokens or punctuation
    same token   of the keys, other than p, whose token is the query's
    induction    of the earlier keys whose token before is the query's: what came next the last time
    positional   of the one other distance, at least 2, that has most: key p - 2, or p + 5
    aligned      to another sequence: of the keys on the best path that never goes back, less that of the best one key

and beside them

    evenness     the entropy of a row, divided by that of an even one: 1 where all keys get the same
    sink         the weight of the one key that has most, over all rows; 0 where there are fewer than three

A head is named after its largest share if that is at least SHARE and at least twice what an even head has; it is `even`
if its evenness is at least EVEN, and `mixed` otherwise. The most telling head is neither even nor a sink: it has the
largest (1 - evenness) x (1 - sink).
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, cast, get_args, overload

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from attentio.capturing.record import SeenAttention
from attentio.capturing.seen import Seen
from attentio.notebook import frame, table
from attentio.page.given import Given, calls_of
from attentio.page.tokens import TokenLists, Tokens, is_ordinary, is_separator, layer_number

Rule = Literal["previous", "next", "self", "first", "separator", "same token", "induction", "positional", "aligned"]
Kind = Literal[Rule, "even", "mixed"]
KINDS: tuple[Kind, ...] = get_args(Kind)
DULL = ("self", "first", "separator", "even", "mixed")
"""Kinds of heads that a page does not open on, if there are others."""

SHARE = 0.4
EVEN = 0.9
FEWEST_ROWS = 3

_LISTED = 30  # heads at a prompt
_HEADINGS = ("attention", "sequence", "layer", "head", "what it does", "share", "evenness", "sink")


class Does(NamedTuple):
    """What one head does on one sequence.

    kind: its name. share: of the rule that it is named after; the evenness of an even head, and 0 of a mixed one.
    shares: of all rules that apply. cell: query and key of the largest weight that the rule is about, between ordinary
    tokens where there are such.
    """

    kind: Kind
    share: float
    evenness: float
    sink: float
    shares: dict[Rule, float]
    cell: tuple[int, int]

    @property
    def telling(self) -> float:
        """From 0 to 1: the less even, and the less it looks at one key always, the more."""
        return (1 - self.evenness) * (1 - self.sink)


class Described(NamedTuple):
    """One row of the table.

    name, call: of the attention. sequence: its place in the batch. layer, head: counted from 1.
    """

    name: str
    call: int
    sequence: int
    layer: str
    head: int
    does: Does


class Descriptions(Sequence[Described]):
    """What each head does, in the order of the layers: a table that `attentio.describe` makes.

    >>> table = at.describe(torch.full((1, 2, 3, 3), 1 / 3))
    >>> table
    attention  layer  head  what it does  share  evenness  sink
    layers.0   1      1     even          100%   100%      33%
    layers.0   1      2     even          100%   100%      33%
    >>> len(table.of("even")), table.telling().head
    (2, 1)
    >>> table.records()[0]["kind"]
    'even'
    """

    def __init__(self, rows: Sequence[Described]) -> None:
        self._rows = list(rows)

    @overload
    def __getitem__(self, index: int) -> Described: ...
    @overload
    def __getitem__(self, index: slice) -> "Descriptions": ...
    def __getitem__(self, index: int | slice) -> "Described | Descriptions":
        return Descriptions(self._rows[index]) if isinstance(index, slice) else self._rows[index]

    def __len__(self) -> int:
        return len(self._rows)

    def of(self, kind: Kind) -> "Descriptions":
        """The heads of one kind, the largest share first."""
        return Descriptions(sorted((row for row in self if row.does.kind == kind), key=lambda row: -row.does.share))

    def telling(self) -> Described:
        """The head to look at first: neither even nor a sink, and named after a rule if any is."""
        return max(self, key=lambda row: (row.does.kind not in DULL, row.does.telling))

    def records(self) -> list[dict[str, Any]]:
        """A dictionary for each head, as `pandas.DataFrame` takes them; what does not apply is missing."""
        return [
            {"name": row.name, "call": row.call, "sequence": row.sequence, "layer": row.layer, "head": row.head}
            | {"kind": row.does.kind, "share": row.does.share, "evenness": row.does.evenness, "sink": row.does.sink}
            | row.does.shares
            for row in self
        ]

    def _lines(self) -> list[tuple[str, ...]]:
        """The headings, and the first heads; the number of the sequence only where there are several."""
        of_each = ((row, (row.does.share, row.does.evenness, row.does.sink)) for row in self[:_LISTED])
        lines = [
            _HEADINGS,
            *(
                (row.name, str(row.sequence), row.layer, str(row.head), row.does.kind, *(f"{n:.0%}" for n in numbers))
                for row, numbers in of_each
            ),
        ]
        several = len({row.sequence for row in self}) > 1
        return lines if several else [(line[0], *line[2:]) for line in lines]

    def __repr__(self) -> str:
        lines = self._lines()
        wide = [max(map(len, column)) for column in zip(*lines, strict=True)]
        out = ["  ".join(map(str.ljust, line, wide)).rstrip() for line in lines]
        return "\n".join([*out, *([f"and {len(self) - _LISTED:,} more"] if len(self) > _LISTED else [])])

    def _repr_html_(self) -> str:
        """For notebooks."""
        headings, *cells = self._lines()
        return frame("What each head does on this text", table(headings, cells, more=len(self) - _LISTED))


def describe(
    seen: Given,
    tokens: TokenLists | None = None,
    *,
    target_tokens: TokenLists | None = None,
    decoder_tokens: TokenLists | None = None,
) -> Descriptions:
    """What each head does on this text: looks at the token before, at the first, at all evenly, along the source, ..

    docs/page.md has the rules and their numbers. They say nothing about other texts, nor what the head is needed for.

    Args:
        seen, tokens, target_tokens, decoder_tokens: as for `view`. Without tokens, and with none saved in `seen`, the
            rules about tokens are left out: separator, same token, induction.

    Raises:
        ValueError: tokens and weights do not belong together, or the weights are none, as for `view`.

    >>> at.describe(torch.eye(6).roll(-1, 1).tril(), "to be or not to be".split())
    attention  layer  head  what it does  share  evenness  sink
    layers.0   1      1     previous      100%   0%        20%
    >>> cross = torch.eye(3, 4)
    >>> table = at.describe(cross, list("wxyz"), target_tokens=list("abc"), decoder_tokens=None)
    >>> table[0].does.kind, table[0].does.cell
    ('aligned', (0, 0))
    """
    calls = calls_of(seen, crossing=target_tokens is not None)
    if tokens is None and isinstance(seen, Seen):
        tokens = seen.tokens
        target_tokens = seen.target_tokens if target_tokens is None else target_tokens
    lists = None if tokens is None else Tokens(source=tokens, target=target_tokens, decoder=decoder_tokens)
    return Descriptions(
        [
            Described(call.name, call.call, item, layer_number(call.name), number + 1, does)
            for call in calls
            for item in range(call.weights.shape[0])
            for number, does in zip(call.heads, heads_of(call, item, lists), strict=True)
        ]
    )


def heads_of(call: SeenAttention, item: int, lists: Tokens | None) -> list[Does]:
    """What each head of a call does on one sequence of its batch."""
    queries, keys = (None, None) if lists is None else lists.of(call, item)
    text = _Text(call, item, queries, keys)
    weights, rows = _weights(call, item) * text.rows[:, None], int(text.rows.sum())
    if not rows:
        return [Does("mixed", 0.0, 0.0, 0.0, {}, (0, 0)) for _ in call.heads]
    columns = weights.sum(1) / rows
    rules = dict(text.rules())
    found: list[tuple[Rule, list[float], list[float]]] = []  # share of each head, and what an even head would have
    for name, rule in rules.items():
        there = (rule & text.may).sum(-1) * text.rows  # keys of the rule, for each query that had a choice
        count = int((there > 0).sum())
        if count >= FEWEST_ROWS:
            even = float((there / text.choices.clamp(min=1)).sum()) / count
            found.append((name, (weights.flatten(1) @ rule.flatten().float() / count).tolist(), [even] * len(weights)))
    if call.kind == "self":
        found.append(("positional", *_positional(weights, text)))
    else:
        shares = _best_path(weights[:, text.rows]) / rows - columns.amax(-1)
        found.append(("aligned", shares.clamp(min=0).tolist(), [0.0] * len(weights)))
    whole = weights.sum(-1, keepdim=True).clamp(min=1e-9)
    entropy = torch.special.entr(weights / whole).sum(-1) / text.choices.clamp(min=2).log()
    evenness = entropy[:, text.rows].mean(-1).clamp(max=1).tolist()
    sinks = columns.amax(-1).tolist() if rows >= FEWEST_ROWS else [0.0] * len(weights)
    described = []
    for head, one in enumerate(weights):
        of_head = {name: shares[head] for name, shares, _ in found}
        kind, share = _named(of_head, {name: even[head] for name, _, even in found}, evenness[head])
        cell = text.largest(one, rules.get(cast(Rule, kind)))
        described.append(Does(kind, share, evenness[head], sinks[head], of_head, cell))
    return described


def _named(shares: dict[Rule, float], even: dict[Rule, float], evenness: float) -> tuple[Kind, float]:
    """The name of a head, and the share that gives it."""
    named = [rule for rule, share in shares.items() if share >= max(SHARE, 2 * even[rule])]
    if named:
        best = max(named, key=shares.__getitem__)
        return best, shares[best]
    return ("even", evenness) if evenness >= EVEN else ("mixed", 0.0)


class _Text:
    """What the rules need to know of a sequence, the same for all heads.

    may: which keys a query may attend to. choices: how many. rows: the queries that had a choice, and whose weights are
    numbers.
    """

    def __init__(
        self, call: SeenAttention, item: int, queries: Sequence[str | None] | None, keys: Sequence[str | None] | None
    ) -> None:
        self.kind, self.queries, self.keys = call.kind, queries, keys
        size = call.weights.shape[2], call.keys
        self.at = call.q_start + torch.arange(size[0])[:, None]
        self.key = torch.arange(size[1])[None]
        self.may = self._may(call, item, size)
        self.choices = self.may.sum(-1)
        self.rows = (self.choices > 1) & ~call.weights[item].isnan().any(-1).any(0).cpu()
        if queries is not None:
            self.rows = self.rows & torch.tensor([token is not None for token in queries])

    def _may(self, call: SeenAttention, item: int, size: tuple[int, int]) -> Bool[Tensor, "q k"]:
        """As captured; else all, or with a self-attention that never looks ahead the earlier ones."""
        if call.allowed is not None:
            return call.allowed.broadcast_to(*call.weights.shape[:3], size[1])[item].any(0).cpu()
        may = torch.ones(size, dtype=torch.bool)
        earlier = self.key <= self.at
        if call.kind == "self" and call.indices is None and not call.weights[item].cpu()[:, ~earlier].any():
            may = earlier
        if self.keys is not None:
            may = may & torch.tensor([token is not None for token in self.keys])
        return may

    def rules(self) -> Iterator[tuple[Rule, Bool[Tensor, "q k"]]]:
        """The cells that each rule is about, but for those that choose among places."""
        own = self.kind == "self"
        if own:
            yield "previous", self.key == self.at - 1
            yield "next", self.key == self.at + 1
            yield "self", self.key == self.at
        yield "first", (self.key == 0).expand_as(self.may)
        if self.queries is None or self.keys is None:
            return
        marks = torch.tensor([token is not None and is_separator(token) for token in self.keys])
        yield "separator", (marks & (self.key > 0)).expand_as(self.may)
        numbers = {token: number for number, token in enumerate({*self.queries, *self.keys} - {None})}
        query, key = (torch.tensor([numbers.get(token, -1) for token in side]) for side in (self.queries, self.keys))
        same = (query[:, None] == key[None]) & (key >= 0)
        yield "same token", same & (self.key != self.at) if own else same
        if own:
            after = functional.pad(same[:, :-1], (1, 0))
            yield "induction", after & (self.key < self.at)

    def largest(self, weights: Float[Tensor, "q k"], rule: Bool[Tensor, "q k"] | None) -> tuple[int, int]:
        """Query and key of the largest weight that the rule is about, of ordinary tokens where there are such."""
        counted = self.rows[:, None] & self.may
        wishes = [] if rule is None else [rule]
        if self.queries is not None and self.keys is not None:
            query, key = (
                torch.tensor([token is not None and is_ordinary(token) for token in side])
                for side in (self.queries, self.keys)
            )
            wishes += [query[:, None].expand_as(self.may), key.expand_as(self.may)]
        for wish in wishes:
            counted = counted & wish if (counted & wish).any() else counted
        place = int(weights.masked_fill(~counted, -1).argmax())
        return place // weights.shape[1], place % weights.shape[1]


def _weights(call: SeenAttention, item: int) -> Float[Tensor, "heads q k"]:
    """NaN as 0: a broken row says nothing."""
    one = call.weights[item].cpu().float().nan_to_num(0.0)
    if call.indices is None:
        return one
    places = call.indices[item].cpu().clamp(min=0).long()
    return one.new_zeros(*one.shape[:2], call.keys).scatter_add_(2, places, one)


def _positional(weights: Float[Tensor, "heads q k"], text: _Text) -> tuple[list[float], list[float]]:
    """The largest share of one distance of at least 2, and what an even head has there."""
    distances = text.key - text.at
    far = distances.abs() > 1
    lowest = int(distances.min())
    bins = (distances - lowest).flatten()
    there = far & text.may & text.rows[:, None]
    counts = torch.bincount(bins, there.flatten().float())  # queries that have a key at this distance
    counts[counts < FEWEST_ROWS] = torch.inf
    even = torch.bincount(bins, (there / text.choices.clamp(min=1)[:, None]).flatten()) / counts
    shares = torch.stack([torch.bincount(bins, (head * far).flatten(), len(counts)) for head in weights]) / counts
    return shares.amax(-1).tolist(), even[shares.argmax(-1)].tolist()


def _best_path(weights: Float[Tensor, "heads rows k"]) -> Float[Tensor, "heads"]:
    """The largest sum of weights, one in each row, whose keys never go back."""
    sums = weights[:, 0]
    for row in weights.unbind(1)[1:]:
        sums = row + sums.cummax(-1).values
    return sums.amax(-1)

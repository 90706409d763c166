"""What was seen of a model's attention: one entry a call, in the order of the calls."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, overload

from jaxtyping import Bool, Float16, Int, Int32
from torch import Tensor

Kind = Literal["self", "cross"]


@dataclass(frozen=True, kw_only=True, eq=False)
class SeenAttention:
    """One call of one attention.

    name: path of the module in the captured model, "decoder.layers.0.cross_attention"; "" outside any submodule.
    call: how often this name was called before, in the same capture.
    kind: whether a sequence attends to itself or to another one.
    heads: the numbers of the heads that were kept.
    weights: softmax of the scores, before dropout. Numbers below 6e-8 are 0 in float16.
    indices: with `top_k` only: the key of each weight, the largest weight first; -1 (and weight 0) where there are
        fewer keys than top_k.
    keys: how many keys there were.
    q_start: position, from 0, of the first query; more than 0 where earlier tokens came from a cache.

    With `parts` only, else None; of these, what the attention's interface showed:

    query, key, value: after projection, of each head.
    scores: compare(query, key), scaled, bias added, before the mask.
    allowed: which keys a query may attend to, True = may; broadcasts to scores; None: all.
    scale: what dot products were multiplied by.
    """

    name: str
    call: int
    kind: Kind
    heads: tuple[int, ...]
    weights: Float16[Tensor, "batch heads q kept"]
    indices: Int32[Tensor, "batch heads q kept"] | None = None
    keys: int
    q_start: int = 0
    query: Float16[Tensor, "batch heads q d"] | None = None
    key: Float16[Tensor, "batch heads k d"] | None = None
    value: Float16[Tensor, "batch heads k dv"] | None = None
    scores: Float16[Tensor, "batch heads q k"] | None = None
    allowed: Bool[Tensor, "... _ _"] | None = None
    scale: float | None = None

    def dense(self) -> Float16[Tensor, "batch heads q k"]:
        """The weights of all keys; those that `top_k` left out are 0."""
        if self.indices is None:
            return self.weights
        dense = self.weights.new_zeros(*self.weights.shape[:3], self.keys)
        # Added, not written: an index of -1 brings weight 0 to key 0, which may have a weight of its own.
        return dense.scatter_add_(3, self.indices.clamp(min=0).long(), self.weights)


class Seen(Sequence[SeenAttention]):
    """What was seen, in the order of the calls.

    tokens, target_tokens: one list a sequence of the batch, where known: what stands at the keys, and at the queries
    where these are another sequence.
    """

    def __init__(
        self,
        calls: Sequence[SeenAttention] = (),
        *,
        tokens: list[list[str]] | None = None,
        target_tokens: list[list[str]] | None = None,
    ) -> None:
        self._calls = list(calls)
        self.tokens, self.target_tokens = tokens, target_tokens

    @overload
    def __getitem__(self, index: int) -> SeenAttention: ...
    @overload
    def __getitem__(self, index: slice) -> "Seen": ...
    def __getitem__(self, index: int | slice) -> "SeenAttention | Seen":
        return self._with(self._calls[index]) if isinstance(index, slice) else self._calls[index]

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[SeenAttention]:
        return iter(self._calls)

    def append(self, call: SeenAttention) -> None:
        """One more call."""
        self._calls.append(call)

    def __repr__(self) -> str:
        lines = (f"  {one.name or '(the model)'} {one.call}: {one.kind} {_sizes(one)}" for one in self)
        return "\n".join([f"Seen: {len(self)} calls of {len(self.names)} attentions", *lines])

    @property
    def names(self) -> list[str]:
        """Of the attentions, in the order of their first calls."""
        return list(dict.fromkeys(one.name for one in self))

    def of(self, name: str) -> "Seen":
        """The calls of one attention.

        Raises:
            ValueError: nothing of that name was seen.
        """
        calls = [one for one in self if one.name == name]
        if not calls:
            raise ValueError(f"name must be one of {', '.join(map(repr, self.names)) or 'none'}, got {name!r}")
        return self._with(calls)

    def joined(self, beams: Int[Tensor, "batch steps"] | None = None) -> "Seen":
        """A generation, token by token, as one matrix for each attention: one row for each token produced.

        Every call gives its last row: the attention that the next token was chosen from. Keys that did not exist yet
        have weight 0. An attention called once, an encoder's, stays as it is.

        Args:
            beams: the row of the batch in which the winning hypothesis was at each step, -1 once it had ended
                (`beam_indices` of transformers' generate); None: rows are hypotheses that stay where they are.

        Raises:
            ValueError: several calls of one attention are not the steps of one generation.
        """
        from attentio.inspection.steps import join

        return self._with([join(self.of(name), beams) for name in self.names])

    def save(self, directory: str | Path) -> None:
        """Write everything into a directory, which `Seen.load` reads; see docs/attention-format.md.

        Raises:
            AttentioError: the directory holds attention already.
        """
        from attentio.inspection.attention_file import Writer

        writer = Writer(directory)
        for one in self:
            writer.add(one)
        writer.finish(self.tokens, self.target_tokens)

    @classmethod
    def load(cls, directory: str | Path) -> "Seen":
        """Read what `save`, a capture, or another program wrote. Tensors stay on disk until they are used.

        Raises:
            AttentioError: the directory or a file in it is missing, damaged, foreign, or of a newer version.
        """
        from attentio.inspection.attention_file import read

        return read(directory)

    def _with(self, calls: Sequence[SeenAttention]) -> "Seen":
        return Seen(calls, tokens=self.tokens, target_tokens=self.target_tokens)


def _sizes(one: SeenAttention) -> str:
    batch, heads, q, _ = one.weights.shape
    return f"batch {batch}, heads {heads}, queries {q}, keys {one.keys}"

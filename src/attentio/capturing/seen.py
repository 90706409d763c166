"""What was seen of a model's attention: one entry a call, in the order of the calls."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import overload

from jaxtyping import Int
from torch import Tensor

from attentio.capturing import storage
from attentio.capturing.record import SeenAttention, picture
from attentio.capturing.steps import join
from attentio.errors import harmless
from attentio.notebook import GRIDS, captioned, frame, left_out, lines

_LISTED = 20
"""Calls, and notes, that are listed at a prompt."""


class Seen(Sequence[SeenAttention]):
    """What was seen, in the order of the calls.

    tokens, target_tokens: one list a sequence of the batch, where known: what stands at the keys, and at the queries
    where these are another sequence.
    notes: what is to be known of a capture besides its numbers: attention that was not understood, axes that are
    unclear. Sentences.

    >>> layer = torch.nn.TransformerEncoderLayer(8, 2, batch_first=True)
    >>> model = torch.nn.TransformerEncoder(layer, num_layers=2).eval()
    >>> with at.capture(model) as seen:
    ...     for length in (3, 4):
    ...         output = model(torch.randn(1, length, 8))
    >>> len(seen), seen.names
    (4, ['layers.0.self_attn', 'layers.1.self_attn'])
    >>> seen.of("layers.1.self_attn")
    Seen: 2 calls of 1 attentions
      layers.1.self_attn 0: self batch 1, heads 2, queries 3, keys 3
      layers.1.self_attn 1: self batch 1, heads 2, queries 4, keys 4
    >>> seen.tokens = [["to", "be", "or", "not"]]
    >>> seen.note("two texts")
    >>> seen.save("both")
    >>> at.Seen.load("both").notes
    ['two texts']
    >>> first = at.Seen(seen[:1], tokens=[["to", "be", "or"]], target_tokens=None, notes=["one text"])
    >>> first.append(seen[1])
    >>> first.names == seen.names
    True

    Of a generation, one matrix for each attention:

    >>> steps = at.Seen([seen[0], seen[2]])
    >>> steps.joined(beams=None)[0].weights.shape
    torch.Size([1, 2, 2, 4])
    """

    def __init__(
        self,
        calls: Sequence[SeenAttention] = (),
        *,
        tokens: list[list[str]] | None = None,
        target_tokens: list[list[str]] | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        self._calls = list(calls)
        self.tokens, self.target_tokens, self.notes = tokens, target_tokens, list(notes)

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

    def note(self, sentence: str) -> None:
        """Once, however often it is said."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def __repr__(self) -> str:
        parts = ([str(one) for one in self], [f"note: {harmless(sentence)}" for sentence in self.notes])
        out = [self._title()]
        for part in parts:
            left = len(part) - _LISTED
            out += [f"  {line}" for line in [*part[:_LISTED], *([f"and {left:,} more"] if left > 0 else [])]]
        return "\n".join(out)

    def _repr_html_(self) -> str:
        """For notebooks: of each call the first head, of the first sequence."""
        drawn = (captioned(str(one), picture(one)) for one in self[:GRIDS])
        left = left_out(len(self) - GRIDS, "; at.view(seen, tokens) shows all")
        return frame(self._title(), *drawn, left, lines(self.notes, "note:"))

    def _title(self) -> str:
        return f"Seen: {len(self)} calls of {len(self.names)} attentions"

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
        return self._with([join(list(self.of(name)), beams) for name in self.names])

    def save(self, directory: str | Path) -> None:
        """Write everything into a directory, which `Seen.load` reads; see docs/attention-format.md.

        Raises:
            AttentioError: the directory holds attention already.
        """
        writer = storage.Writer(directory)
        for call in self:
            writer.add(call)
        writer.finish(self.tokens, self.target_tokens, self.notes)

    @classmethod
    def load(cls, directory: str | Path) -> "Seen":
        """Read what `save`, a capture, or another program wrote. Tensors stay on disk until they are used.

        Raises:
            AttentioError: the directory or a file in it is missing, damaged, foreign, or of a newer version.
        """
        stored = storage.read(directory)
        return cls(stored.calls, tokens=stored.tokens, target_tokens=stored.target_tokens, notes=stored.notes)

    def _with(self, calls: Sequence[SeenAttention]) -> "Seen":
        return Seen(calls, tokens=self.tokens, target_tokens=self.target_tokens, notes=self.notes)

"""How a model decodes with a cache, found by trying: call it on the first positions, and hand back what it returned.

Names in a signature are not relied on: it may hide behind **kwargs, and libraries rename its parameters. A keyword that
is swallowed and not used gives just what the same call gives without it; a cache, even a broken one, does not.
"""

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from attentio.doctor.diagnosis import Skip
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.inputs import SequenceInput, parameters_of
from attentio.doctor.patient.outputs import Output, difference
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.pieces import Read, read_piece, tensors_in

KNOWN = (
    *("past_key_values", "cache", "past", "layer_past", "past_key_value", "kv_cache", "cache_params"),
    *("state", "states", "hidden", "mems", "incremental_state"),
)
"""Keywords under which models take a cache or a state."""


class Stepped(NamedTuple):
    """outputs: [batch, positions, features], those from `first` on, each from a step of its own. how: in words."""

    outputs: Tensor
    first: int
    how: str


class Decoded(NamedTuple):
    """sure: whether what was handed back is a cache, and nothing else that the model takes, such as a summary."""

    stepped: Stepped
    sure: bool


class PieceReader:
    """A model that is called on pieces of its example.

    all_masked: whether masks are those of all positions up to a step, as keys in a cache want it, or of the step alone,
        as a state wants it.
    first: so many positions are read at once, before the steps.
    switch: what asks for a cache, if the model takes that.
    beside: names of what the model returns for the first positions, beside its outputs.
    """

    def __init__(
        self, subject: Subject, facts: Facts, sequence: SequenceInput, output: Output, *, all_masked: bool
    ) -> None:
        self._subject, self._facts, self._sequence, self._output = subject, facts, sequence, output
        self._all_masked = all_masked
        self.first = sequence.length // 2
        if self.first < 2:
            raise Skip(f"{sequence.name} has too few positions to be read in pieces")
        self.switch: dict[str, Any] = {"use_cache": True}
        try:
            self.beside = list(self._read(0, self.first).beside)
        except Exception:
            self.switch = {}
            try:
                self.beside = list(self._read(0, self.first).beside)
            except Exception as error:
                raise Skip(f"on the first half of the example, {_told(error)}") from error

    def trials(self) -> Iterator[tuple[str, str]]:
        """What was returned, and a keyword to hand it back under: its own name, the known ones, others of `forward`."""
        own = {name: name.rpartition(".")[2] for name in self.beside}
        parameters = parameters_of(self._subject.model)
        pairs = [pair for pair in own.items() if pair[1].isidentifier()]
        pairs += [(name, keyword) for keyword in (*KNOWN, *parameters) for name in self.beside]
        taken = {*self._facts.values, *self.switch}
        yield from (pair for pair in dict.fromkeys(pairs) if pair[1] not in taken)

    def decode(self, name: str, keyword: str) -> Decoded | None:
        """Step by step; None where what is handed back changes nothing, or is not returned again.

        Raises:
            Exception: what the model raises: it refuses the keyword, or cannot read what it is given.
        """
        cache = self._read(0, self.first).beside[name]  # made anew: the model may have written into the last one
        outputs, sure = [], keyword in KNOWN
        for position in range(self.first, self._sequence.length):
            step = self._read(position, position + 1, **{keyword: cache})
            if position == self.first:
                if self._is_ignored(step):
                    return None
                sure = sure or self._keeps_positions(name, step)
            if name not in step.beside:
                return None
            cache = step.beside[name]
            outputs.append(step.outputs)
        place = f"member {name} of what it returns" if name.isdecimal() else name
        how = name if name == keyword else f"{place}, handed back as {keyword}"
        how += "" if self._all_masked else ", with what is real of the step alone"
        return Decoded(Stepped(torch.cat(outputs, dim=1), self.first, how), sure)

    def _read(self, begin: int, end: int, **cache: Any) -> Read:
        return read_piece(
            *(self._subject, self._facts, self._sequence, self._output, begin, end),
            keys_from=0 if self._all_masked else begin,
            extra={**self.switch, **cache},
        )

    def _is_ignored(self, step: Read) -> bool:
        """Whether the same call gives the same without a cache. Where that is refused, the cache was of use."""
        try:
            without = self._read(self.first, self.first + 1)
        except Exception:
            return False
        return bool(difference(without.outputs, step.outputs).max() <= self._subject.tolerance)

    def _keeps_positions(self, name: str, step: Read) -> bool:
        """Whether it has an axis that grows with what was read, and that after a step is more than the step itself."""
        after = [tensor.shape for tensor in tensors_in(step.beside.get(name))]
        longer, shorter = (
            [tensor.shape for tensor in tensors_in(self._read(0, end).beside.get(name))]
            for end in (self.first, 1)  # 1: a window holds no more with every further position
        )
        return any(
            long != short and then > 1
            for shapes in zip(longer, shorter, after, strict=False)
            for long, short, then in zip(*shapes, strict=False)
        )


def by_cache(subject: Subject, facts: Facts, sequence: SequenceInput, output: Output) -> Iterator[Stepped]:
    """Each way in which the model decodes with what it returned.

    What is taken under a name that nobody knows and keeps no positions may be no cache: it is then worth a word only
    where the steps equal the full pass.

    Raises:
        Skip: there is no way; the message says why.
    """
    with_masks = any(role in ("padding", "lengths", "pairs") for role in facts.roles.values())
    readers = [
        PieceReader(subject, facts, sequence, output, all_masked=each)
        for each in ((True, False) if with_masks else (True,))
    ]
    beside = readers[0].beside
    if not beside:
        raise Skip(
            "the model returns nothing beside its outputs that could be a cache: if it decodes with one, give step="
        )
    found, raised = False, ""
    for (name, keyword), reader in itertools.product(readers[0].trials(), readers):
        try:
            decoded = reader.decode(name, keyword)
        except Exception as error:
            if not isinstance(error, TypeError):  # that is how Python refuses a keyword
                raised = raised or f"; with {name} as {keyword}, {_told(error)}"
            continue
        if decoded and (
            decoded.sure or apart(subject, facts, sequence, output, decoded.stepped).max() <= subject.tolerance
        ):
            found = True
            yield decoded.stepped
    if not found:
        raise Skip(
            f"the model refuses or ignores what it returned beside its outputs ({', '.join(beside)}) when it is handed "
            f"that back{raised}: if it decodes with a cache, give step="
        )


def apart(subject: Subject, facts: Facts, sequence: SequenceInput, output: Output, stepped: Stepped) -> Tensor:
    """[batch, positions]: how far the steps are from the full pass, 0 at padding.

    Raises:
        Skip: the steps have other shapes.
    """
    full = output.batch_first(subject.base[output.path])[:, stepped.first :]
    if stepped.outputs.shape != full.shape:
        raise Skip(f"steps give {list(stepped.outputs.shape)}, the full pass {list(full.shape)}")
    real = facts.real(sequence)[:, stepped.first :]
    return difference(full, stepped.outputs).cpu().masked_fill(~real, 0.0)


def _told(error: Exception) -> str:
    return f"the model raised {type(error).__name__}: {str(error).strip()[:200]}"

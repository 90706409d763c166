"""What says which positions are padding: a mask, lengths, or a token; and the same sequence with more of it."""

import inspect
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from attentio.inspection.doctor.inputs import Inputs, Role, SequenceInput, is_target


@dataclass(frozen=True)
class Padding:
    """form: a mask [batch, positions], lengths [batch], or only a token of the sequence itself.
    name: the input that says it; None for a token.
    real_value: what the mask has at real positions. longest: the largest of the lengths.
    token: the id that stands at padding, if known.
    """

    form: Literal["mask", "lengths", "token"]
    name: str | None = None
    real_value: float = 1.0
    longest: int | None = None
    token: int | None = None

    def real(self, values: dict[str, Any], sequence: SequenceInput) -> Tensor:
        """bool [batch, positions]: where there is no padding."""
        if self.form == "token":
            return self._ends_in_token(values[sequence.name], sequence)
        assert self.name is not None
        if self.form == "mask":
            return (values[self.name] == self.real_value).cpu()
        return torch.arange(sequence.length) < values[self.name].cpu().unsqueeze(1)

    def _ends_in_token(self, value: Tensor, sequence: SequenceInput) -> Tensor:
        assert self.token is not None
        other = (value.T if sequence.batch == 1 else value).cpu().ne(self.token)
        # Up to the last other token: a decoder may begin with the token of padding.
        return other.flip(1).cumsum(1).flip(1) > 0

    @property
    def told(self) -> str:
        """For people."""
        if self.form == "token":
            return f"padding is the token {self.token}"
        if self.form == "lengths":
            return f"padding is said by {self.name}, lengths"
        value = bool(self.real_value) if self.real_value in (0, 1) else self.real_value
        return f"padding is said by {self.name}, {value} at real positions"


def read_padding(
    model: nn.Module, inputs: Inputs, roles: dict[str, Role], sequences: tuple[SequenceInput, ...]
) -> dict[str, Padding]:
    """For each sequence of which something says so."""
    found = {}
    for sequence in sequences:
        token = _token(model, sequence)
        name = _mask_of(inputs, roles, sequence, sequences)
        if name is None:
            if token is not None and sequence.kind == "tokens" and not _takes_mask(model, sequence):
                found[sequence.name] = Padding("token", token=token)
            continue
        value = inputs.values[name]
        if roles[name] == "lengths":
            padding = Padding("lengths", name, longest=int(value.max()), token=token)
        else:
            padding = Padding("mask", name, _real_value(name, value), token=token)
        found[sequence.name] = padding
    return found


def _takes_mask(model: nn.Module, sequence: SequenceInput) -> bool:
    """Whether the model would be told what padding is by an argument that the example does not give."""
    words = ("attention_mask", "padding_mask", "lengths")
    names = [name for name in inspect.signature(model.forward).parameters if any(word in name for word in words)]
    return any(is_target(name) == sequence.target for name in names)


def _mask_of(
    inputs: Inputs, roles: dict[str, Role], sequence: SequenceInput, sequences: tuple[SequenceInput, ...]
) -> str | None:
    for name, role in roles.items():
        if role not in ("padding", "lengths"):
            continue
        value = inputs.values[name]
        fits = value.shape[0] == sequence.rows and (role == "lengths" or value.shape[1] == sequence.length)
        if fits and _speaks_of(name, sequence, sequences):
            return name
    return None


def _speaks_of(mask: str, sequence: SequenceInput, sequences: tuple[SequenceInput, ...]) -> bool:
    """`context_mask` is about `context`, `key_padding_mask` about `key`; else the decoder's or not must agree."""
    named = [one for one in sequences if mask.split("_")[0] == one.name.split("_")[0]]
    if named or "memory" in mask:
        return sequence in named
    return len(sequences) == 1 or is_target(mask) == sequence.target


def _real_value(name: str, mask: Tensor) -> float:
    """A row without padding tells it; else the name; else what most cells have."""
    if "key_padding" in name:
        return 0.0
    if name.endswith("attention_mask"):
        return 1.0
    full = [row[0] for row in mask if (row == row[0]).all()]
    return float(full[0]) if full else float(mask.flatten().mode().values)


def _token(model: nn.Module, sequence: SequenceInput) -> int | None:
    """The id of padding, as the configuration or an embedding declares it."""
    config = getattr(model, "config", None)
    token = getattr(config, "pad_token_id", None)
    if token is None:
        declared = {one.padding_idx for one in model.modules() if isinstance(one, nn.Embedding)} - {None}
        token = declared.pop() if len(declared) == 1 else None
    return token

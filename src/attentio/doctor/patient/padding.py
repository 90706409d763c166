"""What says which positions are padding: a mask, lengths, or a token."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from attentio.doctor.patient.inputs import Role, SequenceInput, is_target, parameters_of
from attentio.doctor.patient.outputs import flatten
from attentio.doctor.patient.subject import Subject


@dataclass(frozen=True)
class PaddingSource:
    """What says where the padding of a sequence is.

    form: a mask [batch, positions], lengths [batch], or only a token of the sequence itself.
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
        other = sequence.batch_first(value).cpu().ne(self.token)
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


def padded_value(mask: Tensor, real_value: float) -> float:
    """What a mask has where there is padding: any other value in it, or what 0 and 1 leave."""
    other = mask[mask != real_value]
    return float(other[0]) if other.numel() else 1.0 - real_value


def usual_real_value(name: str) -> float:
    """What a mask of this name has at real positions, as far as names tell."""
    return 0.0 if "key_padding" in name else 1.0


def read_padding(
    subject: Subject, roles: dict[str, Role], sequences: tuple[SequenceInput, ...]
) -> dict[str, PaddingSource]:
    """For each sequence of which something says so."""
    found, token = {}, _declared_token(subject.model)
    for sequence in sequences:
        name = _mask_of(subject, roles, sequence, sequences)
        if name is None:
            if token is not None and sequence.kind == "tokens" and not _takes_mask(subject, sequence):
                found[sequence.name] = PaddingSource("token", token=token)
            continue
        value = subject.inputs.values[name]
        if roles[name] == "lengths":
            found[sequence.name] = PaddingSource("lengths", name, longest=int(value.max()), token=token)
        else:
            found[sequence.name] = PaddingSource("mask", name, _real_value(name, value), token=token)
    return found


def _takes_mask(subject: Subject, sequence: SequenceInput) -> bool:
    """Whether the model would be told what padding is by an argument that the example does not give."""
    words = ("attention_mask", "padding_mask", "lengths")
    names = [name for name in parameters_of(subject.model) if any(word in name for word in words)]
    if any(is_target(name) == sequence.target for name in names):
        return True
    # Behind **kwargs no name is seen: the usual ones are tried.
    value = subject.inputs.values[sequence.name]
    everything = torch.ones(sequence.batch_size, sequence.length, dtype=torch.long, device=value.device)
    half = everything.clone()
    half[:, sequence.length // 2 :] = 0
    usual = ("decoder_attention_mask",) if sequence.target else ("attention_mask", "padding_mask")
    return any(_answers_to(subject, name, everything, half) for name in usual)


def _answers_to(subject: Subject, name: str, one: Tensor, other: Tensor) -> bool:
    """Whether an argument that the example does not give makes a difference; not if it is refused."""
    try:
        before, after = (dict(flatten(subject.call(extra={name: value}))) for value in (one, other))
    except Exception:
        return False
    return any(
        path in after
        and tensor.shape == after[path].shape
        and not torch.allclose(tensor, after[path], rtol=0, atol=0, equal_nan=True)
        for path, tensor in before.items()
    )


def _mask_of(
    subject: Subject, roles: dict[str, Role], sequence: SequenceInput, sequences: tuple[SequenceInput, ...]
) -> str | None:
    for name, role in roles.items():
        if role not in ("padding", "lengths"):
            continue
        value = subject.inputs.values[name]
        fits = value.shape[0] == sequence.batch_size and (role == "lengths" or value.shape[1] == sequence.length)
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
    """A name that always means the same; else a row without padding tells it; else what most cells have."""
    if "key_padding" in name or name.endswith("attention_mask"):
        return usual_real_value(name)
    full = [row[0] for row in mask if (row == row[0]).all()]
    return float(full[0]) if full else float(mask.flatten().mode().values)


def _declared_token(model: nn.Module) -> int | None:
    """The id of padding, as the configuration or an embedding declares it."""
    token = getattr(getattr(model, "config", None), "pad_token_id", None)
    if token is None:
        declared = {one.padding_idx for one in model.modules() if isinstance(one, nn.Embedding)} - {None}
        token = declared.pop() if len(declared) == 1 else None
    return token

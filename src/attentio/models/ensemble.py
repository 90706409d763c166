"""Several models that answer as one: at each step they agree on the next token."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from attentio.layers.packed import PackedWeights
from attentio.models.encoder_decoder import EncoderDecoder
from attentio.models.protocols import DecoderState, Step


@dataclass(frozen=True)
class EnsembleState:
    """Where each member stands between two tokens."""

    states: tuple[DecoderState, ...]

    def reorder(self, parents: Int[Tensor, "batch new_beam"]) -> "EnsembleState":
        """See `models.protocols.DecoderState`."""
        return EnsembleState(tuple(state.reorder(parents) for state in self.states))

    def keep(self, rows: Int[Tensor, "kept"]) -> "EnsembleState":
        """See `models.protocols.DecoderState`."""
        return EnsembleState(tuple(state.keep(rows) for state in self.states))


class Ensemble(nn.Module):
    """Encoder-decoders with the same two vocabularies, as one `models.protocols.StepDecoder`.

        log P(y_t | ..) = 1/M sum over the M members of log P_m(y_t | ..)  -  log Z

    The log-probabilities are averaged, not the probabilities: a token that one member holds impossible is impossible.
    Z makes the probabilities sum to 1 again. The attention is the mean over the members that have attention.
    """

    def __init__(self, members: Sequence[EncoderDecoder]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def encode(self, source: Int[Tensor, "batch source"], lengths: Int[Tensor, "batch"]) -> tuple[Any, ...]:
        """The sources as each member has read them; `lengths` counts their real tokens."""
        return tuple(member.encode(source, lengths) for member in self)

    def start(self, memory: tuple[Any, ...], *, packed: PackedWeights | None = None) -> EnsembleState:
        """The state before the first token; see `models.protocols.StepDecoder`."""
        pairs = zip(self, memory, strict=True)
        return EnsembleState(tuple(member.start(one, packed=packed) for member, one in pairs))

    def step(self, token: Int[Tensor, "batch beam"], state: EnsembleState, *, need_weights: bool = True) -> Step:
        """One token further in each member."""
        pairs = zip(self, state.states, strict=True)
        steps = [member.step(token, one, need_weights=need_weights) for member, one in pairs]
        log_probs = torch.stack([step.logits.log_softmax(-1) for step in steps]).mean(0)
        weights = [step.weights for step in steps if step.weights is not None]
        mean = torch.stack(weights).mean(0) if weights else None
        return Step(log_probs, mean, EnsembleState(tuple(step.state for step in steps)))

    def __iter__(self) -> Iterator[EncoderDecoder]:
        yield from self.members  # type: ignore[misc]

"""Recurrent layers that run over a whole sequence at once or one step at a time, with the same parameters.

A step is asked for where something that is known only then (an attention's context) is fed into the recurrence.
What does not depend on the state is done by `project` for all steps in one product; what does, by the function
that `stepper` returns.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from attentio.layers.deferred import DeferredWeight
from attentio.layers.linear import linear

State = tuple[Tensor, ...]
"""What a layer carries from step to step, its output first: (h, c) of an LSTM, (h,) of a GRU; each [.., hidden]."""

Stepper = Callable[[Tensor, Tensor | None, State], State]
"""(projected input, what is fed at this step or None, state) -> state."""


class LSTM(nn.LSTM):
    """Long short-term memory, one layer and one direction (Hochreiter and Schmidhuber 1997, with forget gate).

        i, f, g, o = split(W x + U h + b)
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h = sigmoid(o) * tanh(c)

    inputs: features of x, which is [embedded; fed] where `fed` features come step by step.
    """

    states = 2
    weight_ih_l0: Tensor
    weight_hh_l0: Tensor
    bias_ih_l0: Tensor
    bias_hh_l0: Tensor

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(inputs, hidden, batch_first=True)

    def run(self, inputs: Float[Tensor, "batch steps inputs"], state: State) -> Float[Tensor, "batch steps hidden"]:
        """All steps at once, from `state`; returns h after every step."""
        h, c = (part.unsqueeze(0) for part in state)
        outputs, _ = self(inputs, (h, c))
        return outputs

    def project(self, inputs: Float[Tensor, "*batch known"]) -> Float[Tensor, "*batch gates"]:
        """The part of the gates that the known inputs (the first columns of W) give."""
        known = self.weight_ih_l0[:, : inputs.shape[-1]]
        return linear(inputs, known, self.bias_ih_l0 + self.bias_hh_l0)

    def stepper(self, fed: int) -> Stepper:
        """The step, for one pass through a sequence; `fed` features of x arrive at the step itself."""
        step_columns = self.weight_ih_l0[:, self.input_size - fed :]
        weight = DeferredWeight(torch.cat([step_columns, self.weight_hh_l0], dim=1))

        def step(projected: Tensor, fed_now: Tensor | None, state: State) -> State:
            h, c = state
            gates = projected + weight(h if fed_now is None else torch.cat([fed_now, h], dim=-1))
            i, f, g, o = gates.chunk(4, dim=-1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            return o.sigmoid() * c.tanh(), c

        return step


class GRU(nn.Module):
    """The gated hidden unit of Cho et al. 2014, as in Bahdanau et al. 2014, appendix A.1.1, with biases.

        z, r = sigmoid(W_zr x + U_zr h + b_zr)
        n    = tanh(W_n x + U_n (r * h) + b_n)
        h    = (1 - z) * h + z * n

    The reset gate acts on h before the product, as in the papers; `torch.nn.GRU` lets it act after.
    """

    states = 1

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size = inputs, hidden
        self.weight_input = nn.Parameter(torch.empty(3 * hidden, inputs))
        self.weight_state = nn.Parameter(torch.empty(3 * hidden, hidden))
        self.bias = nn.Parameter(torch.empty(3 * hidden))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -1 / math.sqrt(hidden), 1 / math.sqrt(hidden))

    def run(self, inputs: Float[Tensor, "batch steps inputs"], state: State) -> Float[Tensor, "batch steps hidden"]:
        """All steps from `state`; returns h after every step."""
        step = self.stepper(fed=0)
        outputs = []
        for projected in self.project(inputs).unbind(dim=1):
            state = step(projected, None, state)
            outputs.append(state[0])
        return torch.stack(outputs, dim=1)

    def project(self, inputs: Float[Tensor, "*batch known"]) -> Float[Tensor, "*batch gates"]:
        """The part of z, r and n that the known inputs (the first columns of W) give."""
        return linear(inputs, self.weight_input[:, : inputs.shape[-1]], self.bias)

    def stepper(self, fed: int) -> Stepper:
        """The step, for one pass through a sequence; `fed` features of x arrive at the step itself."""
        gates, hidden = 2 * self.hidden_size, self.hidden_size
        columns = torch.cat([self.weight_input[:, self.input_size - fed :], self.weight_state], dim=1)
        weight_gates, weight_new = DeferredWeight(columns[:gates]), DeferredWeight(columns[gates:])

        def step(projected: Tensor, fed_now: Tensor | None, state: State) -> State:
            (h,) = state
            from_gates, from_new = projected.split([gates, hidden], dim=-1)
            joined = h if fed_now is None else torch.cat([fed_now, h], dim=-1)
            z, r = (from_gates + weight_gates(joined)).sigmoid().chunk(2, dim=-1)
            reset = r * h if fed_now is None else torch.cat([fed_now, r * h], dim=-1)
            n = (from_new + weight_new(reset)).tanh()
            return (torch.lerp(h.to(n.dtype), n, z),)  # autocast: the state goes on as the products come, as in LSTM

        return step


Recurrence = LSTM | GRU


class Bidirectional(nn.Module):
    """Two recurrences over the same sequence, one from each end, their outputs side by side.

    The backward direction starts at each sentence's own last token, never at padding: every sentence is turned
    round within its own length, read forwards, and turned back.
    """

    def __init__(self, forward: Recurrence, backward: Recurrence) -> None:
        super().__init__()
        self.forwards, self.backwards = forward, backward

    def forward(
        self, inputs: Float[Tensor, "batch source inputs"], lengths: Int[Tensor, "batch"]
    ) -> tuple[Float[Tensor, "batch source features"], Float[Tensor, "batch features"]]:
        """Returns the outputs, zero at padding, and the last output of each direction.

        The last output is that after a sentence's last token (forwards) and after its first (backwards).
        """
        batch, source, _ = inputs.shape
        positions = torch.arange(source, device=inputs.device)
        real = positions < lengths.unsqueeze(1)
        turned = torch.where(real, lengths.unsqueeze(1) - 1 - positions, positions).unsqueeze(2)
        outputs = []
        for recurrence, ordered in (
            (self.forwards, inputs),
            (self.backwards, inputs.gather(1, turned.expand_as(inputs))),
        ):
            zeros = inputs.new_zeros(batch, recurrence.hidden_size)
            outputs.append(recurrence.run(ordered, (zeros,) * recurrence.states))
        ahead, back = outputs
        last = (lengths - 1).view(batch, 1, 1)
        ends = [output.gather(1, last.expand(-1, -1, output.shape[2])).squeeze(1) for output in outputs]
        back = back.gather(1, turned.expand_as(back))
        return torch.cat([ahead, back], dim=2).masked_fill(~real.unsqueeze(2), 0.0), torch.cat(ends, dim=1)

"""The recurrent models by hand: one sentence, one step at a time, written from the papers' equations.

Nothing of the package is called. Of a model only the parameters are read, by name, so that gradients flow into
the same tensors as the model's own.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Variant:
    """Which model of which paper; the names are those of `attentio.models.presets`."""

    paper: str
    score: str = "dot"
    local: str | None = None
    input_feeding: bool = False
    window: int = 2
    reach: int = 127
    readout: str = "maxout"

    def __str__(self) -> str:
        if self.paper != "luong":
            return self.paper + "-state" * (self.readout == "state")
        return f"luong-{self.score}-{self.local or 'global'}" + "-feeding" * self.input_feeding


class Decoded(NamedTuple):
    logits: Tensor  # [target, vocab]
    weights: Tensor | None  # [target, source], row i: where the decoder looked when it produced token i


class ByHand:
    """The model `model`, read as the papers write it."""

    def __init__(self, model: nn.Module, variant: Variant, *, cell: str) -> None:
        self.parameters = dict(model.named_parameters())
        self.variant = variant
        self.cell, self.states = {"lstm": (self.lstm, 2), "gru": (self.gru, 1)}[cell]

    def __getitem__(self, name: str) -> Tensor:
        return self.parameters[name]

    def depth(self, prefix: str) -> int:
        return len({name.removeprefix(prefix).split(".")[0] for name in self.parameters if name.startswith(prefix)})

    def lstm(self, layer: str, x: Tensor, state: list[Tensor]) -> list[Tensor]:
        """Hochreiter and Schmidhuber 1997, with a forget gate."""
        h, c = state
        rows = len(h)
        total = self[f"{layer}.weight_ih_l0"] @ x + self[f"{layer}.bias_ih_l0"]
        total = total + self[f"{layer}.weight_hh_l0"] @ h + self[f"{layer}.bias_hh_l0"]
        i = torch.sigmoid(total[:rows])
        f = torch.sigmoid(total[rows : 2 * rows])
        g = torch.tanh(total[2 * rows : 3 * rows])
        o = torch.sigmoid(total[3 * rows :])
        c = f * c + i * g
        return [o * torch.tanh(c), c]

    def gru(self, layer: str, x: Tensor, state: list[Tensor]) -> list[Tensor]:
        """Bahdanau et al. 2014, appendix A.1.1: the reset gate acts on the state before U does."""
        (s,) = state
        rows = len(s)
        w, u, b = (self[f"{layer}.{name}"] for name in ("weight_input", "weight_state", "bias"))
        z = torch.sigmoid(w[:rows] @ x + u[:rows] @ s + b[:rows])
        r = torch.sigmoid(w[rows : 2 * rows] @ x + u[rows : 2 * rows] @ s + b[rows : 2 * rows])
        candidate = torch.tanh(w[2 * rows :] @ x + u[2 * rows :] @ (r * s) + b[2 * rows :])
        return [(1 - z) * s + z * candidate]

    def recurrent_width(self, layer: str) -> int:
        names = [name for name in (f"{layer}.weight_hh_l0", f"{layer}.weight_state") if name in self.parameters]
        return self[names[0]].shape[1]

    def encode(self, source: list[int]) -> tuple[list[Tensor], Tensor, Tensor]:
        """The annotations h_1 .. h_S = [forward; backward], the last forward state, and backward h_1."""
        annotations = [self["encoder.embedding.weight"][token] for token in source]
        for depth in range(self.depth("encoder.layers.")):
            read: dict[str, list[Tensor]] = {}
            for direction, order in (("forwards", range(len(source))), ("backwards", reversed(range(len(source))))):
                layer = f"encoder.layers.{depth}.{direction}"
                zero = torch.zeros(self.recurrent_width(layer), dtype=torch.float64)
                state = [zero] * self.states
                at: dict[int, Tensor] = {}
                for j in order:
                    state = self.cell(layer, annotations[j], state)
                    at[j] = state[0]
                read[direction] = [at[j] for j in range(len(source))]
            annotations = [torch.cat(pair) for pair in zip(read["forwards"], read["backwards"], strict=True)]
        return annotations, read["forwards"][-1], read["backwards"][0]

    def first_states(self, ahead: Tensor, back: Tensor) -> list[list[Tensor]]:
        """Bahdanau: s_0 = tanh(W backward h_1). The others read both directions; a cell state has no tanh."""
        summary = back if self.variant.paper == "bahdanau" else torch.cat([ahead, back])
        numbers = self["decoder.bridge.linear.weight"] @ summary + self["decoder.bridge.linear.bias"]
        width = self.recurrent_width("decoder.layers.0")
        states = []
        for layer in range(self.depth("decoder.layers.")):
            parts = [numbers[(layer * self.states + i) * width :][:width] for i in range(self.states)]
            states.append([torch.tanh(parts[0]), *parts[1:]])
        return states

    def score(self, query: Tensor, annotation: Tensor, j: int) -> Tensor:
        """Bahdanau et al. 2014, appendix A.1.2; Luong et al. 2015, section 3.1."""
        prefix = "decoder.attention.score."
        if self.variant.score == "dot":
            return query @ annotation
        if self.variant.score == "general":
            return query @ (self[prefix + "key.weight"] @ annotation)
        if self.variant.score == "location":
            return self[prefix + "query.weight"][j] @ query
        compared = self[prefix + "query.weight"] @ query + self[prefix + "key.weight"] @ annotation
        return self[prefix + "vector"] @ torch.tanh(compared + self[prefix + "query.bias"])

    def attend(self, query: Tensor, annotations: list[Tensor], step: int) -> tuple[Tensor, Tensor]:
        """Context and weights. Luong et al. 2015, equations 7 to 10, positions counted from 0."""
        variant, d = self.variant, self.variant.window
        length = min(len(annotations), variant.reach) if variant.score == "location" else len(annotations)
        looked_at, decay = list(range(length)), {}
        if variant.local is not None:
            centre = torch.tensor(float(step), dtype=torch.float64)
            if variant.local == "p":
                v, w = self["decoder.attention.predict.2.weight"][0], self["decoder.attention.predict.0.weight"]
                centre = length * torch.sigmoid(v @ torch.tanh(w @ query))
                decay = {j: torch.exp(-((j - centre) ** 2) / (2 * (d / 2) ** 2)) for j in looked_at}
            looked_at = [j for j in looked_at if abs(j - round(centre.item())) <= d]
        exponentials = {j: torch.exp(self.score(query, annotations[j], j)) for j in looked_at}
        context = torch.zeros_like(annotations[0])
        weights = torch.zeros(len(annotations), dtype=torch.float64)
        for j in looked_at:
            alpha = exponentials[j] / sum(exponentials.values()) * decay.get(j, 1.0)
            weights[j] = alpha.detach()
            context = context + alpha * annotations[j]
        return context, weights

    def decode(self, source: list[int], target: list[int]) -> Decoded:
        """The logits of the token after each of `target`, which begins with the begin token."""
        annotations, ahead, back = self.encode(source)
        states = self.first_states(ahead, back)
        fed: Tensor | None = None
        logits, rows = [], []
        for step, last in enumerate(target):
            embedded = self["decoder.embedding.weight"][last]
            if self.variant.input_feeding and fed is None:
                fed = torch.zeros(len(states[0][0]), dtype=torch.float64)
            features, fed, states, weights = self.produce(step, embedded, states, fed, annotations)
            logits.append(self["decoder.output.weight"] @ features + self["decoder.output.bias"])
            rows.append(weights)
        return Decoded(torch.stack(logits), None if rows[0] is None else torch.stack(rows))

    def advance(self, x: Tensor, states: list[list[Tensor]]) -> list[list[Tensor]]:
        after = []
        for depth, state in enumerate(states):
            after.append(self.cell(f"decoder.layers.{depth}", x, state))
            x = after[-1][0]
        return after

    def produce(
        self, step: int, embedded: Tensor, states: list[list[Tensor]], fed: Tensor | None, annotations: list[Tensor]
    ) -> tuple[Tensor, Tensor | None, list[list[Tensor]], Tensor | None]:
        """One token: what the output layer gets, what is fed to the next step, the states, the weights."""
        s_before = states[-1][0]
        if self.variant.paper == "plain":  # Sutskever et al. 2014
            states = self.advance(embedded, states)
            return states[-1][0], None, states, None
        if self.variant.paper == "bahdanau":  # appendices A.1.2 and A.2.2
            c, weights = self.attend(s_before, annotations, step)
            states = self.advance(torch.cat([embedded, c]), states)
            if self.variant.readout == "state":  # equation 4, whose s(i) has read y(i-1) and c(i)
                return states[-1][0], None, states, weights
            u, v, w = self["decoder.readout.linear.weight"].split([len(s_before), len(embedded), len(c)], dim=1)
            t = u @ s_before + v @ embedded + w @ c + self["decoder.readout.linear.bias"]
            maxout = torch.stack([torch.maximum(t[2 * j], t[2 * j + 1]) for j in range(len(t) // 2)])
            return maxout, None, states, weights
        if self.variant.paper == "delayed":  # query s(i-1), output from [s(i); a(i-1)]
            a, weights = self.attend(s_before, annotations, step)
            states = self.advance(embedded, states)
            return torch.cat([states[-1][0], a]), None, states, weights
        # Luong et al. 2015, equation 5, and section 3.3 for what is fed.
        states = self.advance(embedded if fed is None else torch.cat([embedded, fed]), states)
        h = states[-1][0]
        c, weights = self.attend(h, annotations, step)
        vector = torch.tanh(self["decoder.readout.weight"] @ torch.cat([c, h]))
        return vector, vector if self.variant.input_feeding else None, states, weights

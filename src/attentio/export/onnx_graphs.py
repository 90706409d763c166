"""An encoder-decoder as two functions of tensors: one reads the source, one takes a step. What is between is named.

A state's tensors have the sentences first, one hypothesis each.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from attentio.attention.mask import padding
from attentio.layers.cache import KeyValueCache, Slots
from attentio.layers.multihead import MultiheadSource
from attentio.layers.recurrence import GRU, LSTM, Bidirectional
from attentio.layers.sources import Source
from attentio.models.encoder_decoder import EncoderDecoder
from attentio.models.memory import Memory
from attentio.models.recurrent import RecurrentDecoder, RecurrentEncoder, RecurrentState
from attentio.models.transformer import TransformerDecoder, TransformerState

Axes = dict[int, str]
"""Which axes of a tensor have any length: "batch", "source" or "target"."""


class Entry(NamedTuple):
    """One tensor of a state. changes: with each step."""

    tensor: Tensor
    axes: Axes
    changes: bool


class RecurrentNaming:
    """The state of a recurrent decoder, taken apart into tensors with names, and put together."""

    def __init__(self, decoder: RecurrentDecoder) -> None:
        self.decoder = decoder

    def apart(self, state: Any) -> dict[str, Entry]:
        found = {"position": Entry(torch.as_tensor(state.position), {}, True)}
        if state.source is not None:
            for name, tensor in zip(("keys", "values"), state.source, strict=False):
                found[name] = Entry(tensor, {0: "batch", 1: "source"}, False)
            found["attended"] = Entry(state.source.lengths, {0: "batch"}, False)
        for i, layer in enumerate(state.layers):
            for part, tensor in zip("hc", layer, strict=False):
                found[f"{part}_{i}"] = Entry(tensor, {0: "batch"}, True)
        if state.fed is not None:
            found["fed"] = Entry(state.fed, {0: "batch"}, True)
        return found

    def together(self, tensors: dict[str, Tensor]) -> RecurrentState:
        source = Source(tensors["keys"], tensors["values"], tensors["attended"]) if "keys" in tensors else None
        layers = tuple(
            tuple(tensors[f"{part}_{i}"] for part in "hc"[: layer.states])
            for i, layer in enumerate(self.decoder.layers)
        )
        return RecurrentState(source, layers, tensors.get("fed"), tensors["position"], self.decoder.loop())


class TransformerNaming:
    """The state of a Transformer decoder, taken apart into tensors with names, and put together."""

    def __init__(self, decoder: TransformerDecoder) -> None:
        self.layers = len(decoder.stack.blocks)

    def apart(self, state: Any) -> dict[str, Entry]:
        found = {"attended": Entry(state.lengths, {0: "batch"}, False)}
        for i, (source, cache) in enumerate(zip(state.sources, state.caches, strict=True)):
            for name in ("keys", "values"):
                found[f"source_{name}_{i}"] = Entry(getattr(source, name), {0: "batch", 2: "source"}, False)
                found[f"{name}_{i}"] = Entry(getattr(cache, name), {0: "batch", 2: "target"}, True)
        return found

    def together(self, tensors: dict[str, Tensor]) -> TransformerState:
        mask = padding(tensors["attended"])
        sources, caches = [], []
        for i in range(self.layers):
            sources.append(MultiheadSource(tensors[f"source_keys_{i}"], tensors[f"source_values_{i}"], mask))
            caches.append(KeyValueCache.of(tensors[f"keys_{i}"], tensors[f"values_{i}"]))
        slots = Slots.read(tensors["keys_0"].shape[2], tensors["attended"].device)
        return TransformerState(tuple(sources), tensors["attended"], slots, tuple(caches), None)


Naming = RecurrentNaming | TransformerNaming


class Reading(nn.Module):
    """source [batch, source], lengths [batch] -> the tensors of the state before the first token."""

    def __init__(self, model: EncoderDecoder, naming: Naming) -> None:
        super().__init__()
        self.model, self.naming = model, naming
        encoder = model.encoder
        self.encoder = _RecurrentEncoder(encoder) if isinstance(encoder, RecurrentEncoder) else encoder

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        source, lengths = given
        entries = self.naming.apart(self.model.start(self.encoder(source, lengths)))
        return tuple(entry.tensor.clone() for entry in entries.values())


class Stepping(nn.Module):
    """token [batch], the state -> logits [batch, vocab], weights [batch, source] if any, and what has changed."""

    def __init__(self, model: EncoderDecoder, naming: Naming, names: list[str]) -> None:
        super().__init__()
        self.model, self.naming, self.names = model, naming, names

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        token, *state = given
        before = self.naming.together(dict(zip(self.names, state, strict=True)))
        logits, weights, after = self.model.step(token.unsqueeze(1), before)
        looked = () if weights is None else (weights.squeeze(1),)
        changed = (entry.tensor for entry in self.naming.apart(after).values() if entry.changes)
        return (logits.squeeze(1), *looked, *changed)


class _RecurrentEncoder(nn.Module):
    """`RecurrentEncoder` by ONNX's own operators, which take any length, without dropout; ours are loops in Python."""

    def __init__(self, encoder: RecurrentEncoder) -> None:
        super().__init__()
        self.embedding = encoder.embedding
        self.layers = nn.ModuleList(map(_Bidirectional, encoder.layers))

    def forward(self, source: Tensor, lengths: Tensor) -> Memory:
        outputs = summary = self.embedding(source)
        for layer in self.layers:
            outputs, summary = layer(outputs, lengths)
        return Memory(outputs, lengths, summary)


class _Bidirectional(nn.Module):
    """The operator LSTM or GRU, in both directions."""

    inputs: Tensor
    states: Tensor
    biases: Tensor

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        assert isinstance(layer, Bidirectional)
        self.hidden, self.lstm = layer.forwards.hidden_size, isinstance(layer.forwards, LSTM)
        both = (layer.forwards, layer.backwards)
        taken = [_of_lstm(one) if isinstance(one, LSTM) else _of_gru(one) for one in both]
        for name, parts in zip(("inputs", "states", "biases"), zip(*taken, strict=True), strict=True):
            self.register_buffer(name, torch.stack(parts).detach())

    def forward(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs, zero at padding, and the last of each direction, as `Bidirectional`."""
        batch, source, _ = inputs.shape
        shapes = [(source, 2, batch, self.hidden), (2, batch, self.hidden)]
        outputs, last = torch.onnx.ops.symbolic_multi_out(
            "LSTM" if self.lstm else "GRU",
            (inputs.transpose(0, 1), self.inputs, self.states, self.biases, lengths.int()),
            {"direction": "bidirectional", "hidden_size": self.hidden},
            dtypes=[inputs.dtype] * 2,
            shapes=shapes,
        )
        return outputs.permute(2, 0, 1, 3).flatten(2), last.transpose(0, 1).flatten(1)


def _of_lstm(layer: LSTM) -> tuple[Tensor, Tensor, Tensor]:
    """Weights of the inputs and of the state, and all biases: gates i, o, f, g, where torch has i, f, g, o."""

    def ordered(rows: Tensor) -> Tensor:
        i, f, g, o = rows.chunk(4)
        return torch.cat([i, o, f, g])

    biases = torch.cat([ordered(layer.bias_ih_l0), ordered(layer.bias_hh_l0)])
    return ordered(layer.weight_ih_l0), ordered(layer.weight_hh_l0), biases


def _of_gru(layer: GRU) -> tuple[Tensor, Tensor, Tensor]:
    """Theirs is h = (1 - z) n + z h, so its z is 1 - ours, the sigmoid of the negative."""
    signs = torch.ones(3 * layer.hidden_size)
    signs[: layer.hidden_size] = -1.0
    biases = torch.cat([layer.bias * signs, torch.zeros_like(layer.bias)])
    return layer.weight_input * signs[:, None], layer.weight_state * signs[:, None], biases

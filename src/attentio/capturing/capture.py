"""Every attention of a model as a tensor of weights, without changing the model.

with at.capture(model) as seen:
    model(inputs)
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from attentio.attention.compare import Location
from attentio.attention.entmax import alpha_of
from attentio.capturing.layer_choice import Layers, layer_filter
from attentio.capturing.observe import Observed, observing
from attentio.capturing.recompute import Part, allowed_of, in_parts, scores_of, sizes, weights_of
from attentio.capturing.record import SeenAttention
from attentio.capturing.seen import Seen
from attentio.capturing.storage import TensorStream, Writer
from attentio.errors import AttentioError


@contextmanager
def capture(
    model: nn.Module,
    *,
    layers: Layers | None = None,
    heads: Sequence[int] | None = None,
    top_k: int | None = None,
    parts: bool = False,
    directory: str | Path | None = None,
) -> Iterator[Seen]:
    """What every attention of `model` looks at, in each of its calls within the block, in this thread.

    Seen are attentio's layers and `attend`, `torch.nn.MultiheadAttention` and all of `nn.Transformer`,
    `F.scaled_dot_product_attention`, FlexAttention, and attention written with softmax and a product; so also the
    models of transformers, whatever their `attn_implementation`. What the model returns stays the same. Weights are
    those from before dropout, computed in parts and kept in float16. Only what runs while a method of `model`, or of a
    module in it, runs: another model, or `attend` called from outside, is not its attention. What was not understood is
    named in the `notes` of what was seen.

    Args:
        layers: names of modules, patterns such as "decoder.*", or numbers: 0 is the first of a stack of layers, -1 the
            last. None: all.
        heads: numbers of the heads to keep, from 0. None: all.
        top_k: keep the largest so many weights of each query only.
        parts: keep query, key, value, scores and mask too, where the attention's interface shows them.
        directory: write every call into this directory as it comes, rather than keep it in memory. `Seen.load` reads
            it once the block has ended without an error; not before.

    Yields:
        What has been seen so far.

    Raises:
        AttentioError: when the block ends and nothing was seen; `directory` holds attention already.
        ValueError: `model` is not a module; an attention has no head of that number; `top_k` is below 1.

    >>> layer = torch.nn.TransformerEncoderLayer(8, 2, batch_first=True)
    >>> model = torch.nn.TransformerEncoder(layer, num_layers=2).eval()
    >>> with at.capture(model) as seen:
    ...     output = model(torch.randn(1, 5, 8))
    >>> seen
    Seen: 2 calls of 2 attentions
      layers.0.self_attn 0: self batch 1, heads 2, queries 5, keys 5
      layers.1.self_attn 0: self batch 1, heads 2, queries 5, keys 5
    >>> with at.capture(model, layers=-1, heads=[1], top_k=3) as seen:
    ...     output = model(torch.randn(1, 5, 8))
    >>> seen[0].weights.shape
    torch.Size([1, 1, 5, 3])
    >>> with at.capture(model, parts=True, directory="seen") as seen:
    ...     output = model(torch.randn(1, 5, 8))
    >>> at.Seen.load("seen")[0].query.shape
    torch.Size([1, 2, 5, 4])
    """
    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    if top_k is not None and (isinstance(top_k, float) or top_k < 1):
        raise ValueError(f"top_k must be a whole number of at least 1, got {top_k}")
    if isinstance(heads, int):
        raise ValueError(f"heads must be numbers of heads, such as [0, 1], got {heads!r}")
    recorder = _Recorder(
        layer_filter(model, layers),
        None if heads is None else tuple(heads),
        top_k,
        parts,
        None if directory is None else Writer(directory),
    )
    with observing(model, recorder.record, on_not_understood=recorder.not_understood):
        yield recorder.seen
    recorder.require_calls(model, layers)
    if recorder.writer is not None:
        recorder.writer.finish(recorder.seen.tokens, recorder.seen.target_tokens, recorder.seen.notes)


class _Recorder:
    """Turns observed calls into seen ones."""

    def __init__(
        self,
        wanted: Callable[[str], bool],
        heads: tuple[int, ...] | None,
        top_k: int | None,
        with_parts: bool,
        writer: Writer | None,
    ) -> None:
        self.wanted, self.heads, self.top_k, self.with_parts, self.writer = wanted, heads, top_k, with_parts, writer
        self.seen = Seen()
        self._calls: Counter[str] = Counter()
        self._last_self = (0, 0, 0)

    def record(self, one: Observed) -> None:
        """Keep a call, or write it, as far as it is the model's own and wanted."""
        if not one.inside:
            return
        call = self._calls[one.name]
        self._calls[one.name] += 1
        start = self._q_start(one)
        if not self.wanted(one.name):
            return
        if one.unclear:
            self.seen.note(
                f"{one.name or 'the model'!r} does not show which axis is the heads': its weights are read as "
                f"{list(sizes(one))}, [batch, heads, queries, keys], and may be in another order"
            )
        heads = self._heads(one)
        metadata: dict[str, Any] = {
            "name": one.name,
            "call": call,
            "kind": one.kind,
            "heads": heads,
            "keys": sizes(one)[3],
            "q_start": start,
            "alpha": alpha_of(one.normalize),
            "scale": one.scale if self.with_parts else None,
        }
        streams = {"weights": _stream(one, heads, weights_of)} if self.top_k is None else self._largest(one, heads)
        if self.with_parts:
            streams |= _streams_of_parts(one, heads)
        if self.writer is not None:
            self.seen.append(self.writer.write(metadata, streams))
        else:
            tensors: dict[str, Any] = {name: _materialized(stream) for name, stream in streams.items()}
            self.seen.append(SeenAttention(**metadata, **tensors))

    def not_understood(self, name: str) -> None:
        """Say that a module has a softmax that was not understood."""
        if self.wanted(name):
            self.seen.note(
                f"a softmax in {name or 'the model'!r} was not understood: what comes of it is no product with values "
                "that sums over the softmax's last axis"
            )

    def require_calls(self, model: nn.Module, layers: object) -> None:
        """Raises AttentioError where nothing was seen, saying what to do."""
        if len(self.seen):
            return
        if self._calls:
            names = ", ".join(repr(name) if name else "'' (the model itself)" for name in self._calls)
            raise AttentioError(f"no attention in the layers {layers!r}; what the model called is {names}")
        name = type(getattr(model, "_orig_mod", model)).__name__
        notes = "".join(f"{note}; " for note in self.seen.notes)
        raise AttentioError(
            f"no attention was seen in {name}; {notes}run the model inside the with block and in its thread. "
            "Scripted, traced and exported models, kernels of somebody's own, and weights that are no softmax over the "
            "last axis cannot be seen: capture the Python module that the model was made from, or let it call "
            "attentio.attend or F.scaled_dot_product_attention"
        )

    def _heads(self, one: Observed) -> tuple[int, ...]:
        count = sizes(one)[1]
        if self.heads is None:
            return tuple(range(count))
        if not self.heads or not all(0 <= head < count for head in self.heads):
            raise ValueError(f"heads must be numbers from 0 to {count - 1}, which {one.name!r} has, got {self.heads}")
        return self.heads

    def _q_start(self, one: Observed) -> int:
        """Position of the first query: where the last one's last key with a weight is, minus those between.

        A target's queries of a source are where the self-attention just before it found itself.
        """
        batch, heads, q, k = sizes(one)
        if one.kind == "cross":
            same = self._last_self[:2] == (batch, q)
            return self._last_self[2] if same else 0
        start = 0
        if q < k:
            last = Part(range(batch), range(heads), range(q - 1, q))
            reached = (weights_of(one, last) > 0).any(dim=0).any(dim=0).nonzero()
            start = (int(reached[-1, -1]) + 1 if len(reached) else k) - q
        self._last_self = (batch, q, max(0, start))
        return max(0, start)

    def _largest(self, one: Observed, heads: tuple[int, ...]) -> dict[str, TensorStream]:
        """The weights of top_k keys, and which keys these are."""
        assert self.top_k is not None
        batch, _, q, k = sizes(one)
        shape = (batch, len(heads), q, self.top_k)
        # Made at once: small tensors kept from each part would stand in the way of the next part's large ones.
        weights, indices = torch.zeros(shape, dtype=torch.float16), torch.full(shape, -1, dtype=torch.int32)
        row = 0
        for part in in_parts(one, heads):
            largest, where = weights_of(one, part).flatten(0, 2).topk(min(self.top_k, k), dim=-1)
            rows = slice(row, row + len(largest))
            weights.view(-1, self.top_k)[rows, : largest.shape[1]] = largest
            indices.view(-1, self.top_k)[rows, : largest.shape[1]] = where
            row = rows.stop
        return {
            "weights": TensorStream.whole(weights, torch.float16),
            "indices": TensorStream.whole(indices, torch.int32),
        }


def _stream(one: Observed, heads: tuple[int, ...], make: Callable[[Observed, Part], Tensor]) -> TensorStream:
    """[batch, heads, q, k], made part by part."""
    batch, _, q, k = sizes(one)
    return TensorStream(torch.float16, (batch, len(heads), q, k), (make(one, part) for part in in_parts(one, heads)))


def _streams_of_parts(one: Observed, heads: tuple[int, ...]) -> dict[str, TensorStream]:
    """What the formula is made of; nothing for attention that shows only its weights."""
    if one.query is None:
        return {}
    streams = {"scores": _stream(one, heads, scores_of)}
    # A location's queries are the scores themselves, and its keys are not looked at.
    for name in ("value",) if isinstance(one.score, Location) else ("query", "key", "value"):
        streams[name] = TensorStream.whole(getattr(one, name)[:, list(heads)], torch.float16)
    batch, _, q, _ = sizes(one)
    allowed = allowed_of(one, Part(range(batch), heads, range(q)))
    if allowed is not None:
        streams["allowed"] = TensorStream.whole(allowed, torch.bool)
    return streams


def _materialized(stream: TensorStream) -> Tensor:
    """In memory, as a tensor that can be used like any other, even if the model ran in inference mode.

    The pieces are made here, and leaving inference mode turns gradients on: without `no_grad` they would keep the
    model's graph.
    """
    with torch.inference_mode(False), torch.no_grad():
        flat: Any = torch.empty(stream.shape, dtype=stream.dtype, device="cpu").flatten()
        offset = 0
        for piece in stream.pieces:
            flat[offset : offset + piece.numel()] = piece.flatten()
            offset += piece.numel()
        assert offset == flat.numel(), "pieces that leave some of it as the memory was"
        return flat.view(stream.shape)

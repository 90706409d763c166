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
from attentio.errors import AttentioError
from attentio.inspection.attention_file import Planned, Writer
from attentio.inspection.layer_choice import Layers, chosen
from attentio.inspection.observe import Observed, observing
from attentio.inspection.recompute import Part, allowed_of, in_parts, scores_of, sizes, weights_of
from attentio.inspection.seen import Seen, SeenAttention


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
    those from before dropout, computed in parts and kept in float16.

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
    """
    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be at least 1, got {top_k}")
    recorder = _Recorder(
        chosen(model, layers),
        None if heads is None else tuple(heads),
        top_k,
        parts,
        None if directory is None else Writer(directory),
    )
    with observing(model, recorder.see):
        yield recorder.seen
    recorder.require_something(model, layers)
    if recorder.writer is not None:
        recorder.writer.finish(recorder.seen.tokens, recorder.seen.target_tokens)


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

    def see(self, one: Observed) -> None:
        call = self._calls[one.name]
        self._calls[one.name] += 1
        start = self._q_start(one)
        if not self.wanted(one.name):
            return
        heads = self._heads(one)
        about: dict[str, Any] = {
            "name": one.name,
            "call": call,
            "kind": one.kind,
            "heads": heads,
            "keys": sizes(one)[3],
            "q_start": start,
            "scale": one.scale if self.with_parts else None,
        }
        planned = self._top(one, heads) if self.top_k is not None else _planned(one, heads, "weights", weights_of)
        if self.with_parts:
            planned |= _planned_parts(one, heads)
        if self.writer is not None:
            self.seen.append(self.writer.stream(about, planned))
        else:
            tensors: dict[str, Any] = {name: _filled(plan) for name, plan in planned.items()}
            self.seen.append(SeenAttention(**about, **tensors))

    def require_something(self, model: nn.Module, layers: object) -> None:
        """Raises AttentioError where nothing was seen, saying what to do."""
        if len(self.seen):
            return
        if self._calls:
            names = ", ".join(map(repr, self._calls))
            raise AttentioError(f"no attention in the layers {layers!r}; what the model called is {names}")
        name = type(getattr(model, "_orig_mod", model)).__name__
        raise AttentioError(
            f"no attention was seen in {name}; run the model inside the with block and in its thread. Scripted, traced "
            "and exported models, kernels of somebody's own, and weights that are no softmax over the last axis cannot "
            "be seen: capture the Python module that the model was made from, or let it call attentio.attend or "
            "F.scaled_dot_product_attention"
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

    def _top(self, one: Observed, heads: tuple[int, ...]) -> dict[str, Planned]:
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
            "weights": Planned(torch.float16, shape, iter([weights])),
            "indices": Planned(torch.int32, shape, iter([indices])),
        }


def _planned(
    one: Observed, heads: tuple[int, ...], name: str, make: Callable[[Observed, Part], Tensor]
) -> dict[str, Planned]:
    batch, _, q, k = sizes(one)
    return {name: Planned(torch.float16, (batch, len(heads), q, k), (make(one, part) for part in in_parts(one, heads)))}


def _planned_parts(one: Observed, heads: tuple[int, ...]) -> dict[str, Planned]:
    """What the formula is made of; nothing for attention that shows only its weights."""
    if one.query is None:
        return {}
    planned = _planned(one, heads, "scores", scores_of)
    # A location's queries are the scores themselves, and its keys are not looked at.
    for name in ("value",) if isinstance(one.score, Location) else ("query", "key", "value"):
        tensor: Tensor = getattr(one, name)[:, list(heads)]
        planned[name] = Planned(torch.float16, tuple(tensor.shape), iter([tensor]))
    batch, _, q, _ = sizes(one)
    allowed = allowed_of(one, Part(range(batch), heads, range(q)))
    if allowed is not None:
        planned["allowed"] = Planned(torch.bool, tuple(allowed.shape), iter([allowed]))
    return planned


def _filled(plan: Planned) -> Tensor:
    """In memory, as a tensor that can be used like any other, even if the model ran in inference mode."""
    with torch.inference_mode(False):
        flat: Any = torch.empty(plan.shape, dtype=plan.dtype).flatten()
        offset = 0
        for piece in plan.pieces:
            flat[offset : offset + piece.numel()] = piece.flatten()
            offset += piece.numel()
        return flat.view(plan.shape)

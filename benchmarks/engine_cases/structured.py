"""Masks that leave most pairs out: windows, packed documents, padded batches; and how windows scale.

The packed documents and the lengths of a batch are drawn anew in every run.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

import attentio as at
from engine_cases.case import Case, Run, peak_kilobytes, ready

HEADS, FEATURES = 8, 64
SCALING_LENGTHS = tuple(2**n for n in range(10, 17))


def cases() -> list[Case]:
    ids = torch.randint(32, (1, 8192)).sort().values
    lengths = torch.randint(1, 513, (16,))
    lengths[8:] = 513 - lengths[:8]  # half of all is padding
    window, documents, padding = at.window(64, 64), at.segments(ids, ids), at.padding(lengths)
    return [
        _case("window of 129", window, 1, 2048, backward=False, targets={"SDPA, mask": 6, "FlexAttention": 3}),
        _case("window of 129", window, 1, 2048, backward=True, targets={"SDPA, mask": 6}),
        _case("32 documents", documents, 1, 8192, backward=True, targets={"SDPA, mask": 6}),
        _case("32 documents, causal", at.causal() & documents, 1, 8192, backward=True, targets={"SDPA, mask": 6}),
        _case("half padding", padding, 16, 512, backward=True, targets={"SDPA, mask": 1.6}),
        _case("half padding, causal", at.causal() & padding, 16, 512, backward=True, targets={"SDPA, mask": 1.6}),
    ]


def _case(what: str, mask: at.Mask, batch: int, length: int, *, backward: bool, targets: dict[str, float]) -> Case:
    allowed = mask.materialize(length, length)
    allowed = allowed.unsqueeze(1) if allowed.ndim == 3 else allowed
    pairs = allowed.expand(batch, 1, length, length).sum().item()

    def ours(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return at.attend(query, key, value, mask=mask).context

    def sdpa(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=allowed)

    tensors = [torch.randn(batch, HEADS, length, FEATURES) for _ in range(3)]
    peers: dict[str, Callable[[], Run]] = {"SDPA, mask": partial(ready, sdpa, tensors, backward=backward)}
    if not backward:  # which FlexAttention has on GPUs only
        peers["FlexAttention"] = lambda: ready(_flex(allowed), tensors, backward=False)
    return Case(
        name=f"{what}, {batch} x {HEADS} heads x {length} x {FEATURES}",
        backward=backward,
        ours=partial(ready, ours, tensors, backward=backward),
        peers=peers,
        targets=targets,
        products=4.0 * pairs * HEADS * FEATURES * (3.5 if backward else 1.0),
    )


def _flex(allowed: Tensor) -> Callable[..., Tensor]:
    """FlexAttention compiled, with the mask's blocks made beforehand."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    table = allowed.expand(1, 1, *allowed.shape[-2:])[0, 0]
    queries, keys = table.shape
    blocks = create_block_mask(lambda b, h, i, j: table[i, j], None, None, queries, keys, device="cpu")
    return partial(torch.compile(flex_attention), block_mask=blocks)


def window_scaling(threads: int) -> dict[str, list[dict[str, float]]]:
    """Forward and backward of a window of 129 over ever more tokens, each in a process of its own."""
    rows = []
    for length in SCALING_LENGTHS:
        command = [sys.executable, "-m", __name__, str(length), str(threads)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1])
        rows.append(json.loads(done.stdout))
    return {"rows": rows}


EXTRAS = {"window scaling": window_scaling}


def _scaling(length: int) -> dict[str, float]:
    """Microseconds and peak kilobytes per token, beyond the tensors given."""
    tensors = [torch.randn(1, HEADS, length, FEATURES, requires_grad=True) for _ in range(3)]
    upstream = torch.randn(1, HEADS, length, FEATURES)
    warm = [torch.randn(1, HEADS, 1024, FEATURES, requires_grad=True) for _ in range(3)]
    at.attend(*warm, mask=at.window(64, 64)).context.sum().backward()

    def run() -> None:
        for tensor in tensors:
            tensor.grad = None
        at.attend(*tensors, mask=at.window(64, 64)).context.backward(upstream)

    before = peak_kilobytes()
    run()
    grown = peak_kilobytes() - before
    fastest = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        run()
        fastest = min(fastest, time.perf_counter() - began)
    return {"length": length, "us_per_token": 1e6 * fastest / length, "kb_per_token": grown / length}


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[2]))
    print(json.dumps(_scaling(int(sys.argv[1]))))

"""Masks that leave most pairs out: windows, packed documents, padded batches; and how windows scale.

    cd benchmarks; python -m engine_cases.structured        the scaling alone: time and memory per token

The packed documents and the lengths of a batch are drawn anew in every run.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import torch
from engine_cases.case import Case, Run, with_backward
from torch import Tensor
from torch.nn import functional as F

import attentio as at

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

    def ready(compute: Callable[..., Tensor]) -> Run:
        tensors = [torch.randn(batch, HEADS, length, FEATURES, requires_grad=backward) for _ in range(3)]
        if backward:
            return with_backward(compute, *tensors)
        return torch.inference_mode()(lambda: compute(*tensors))

    peers: dict[str, Callable[[], Run]] = {"SDPA, mask": lambda: ready(sdpa)}
    if not backward:  # which FlexAttention has on GPUs only
        peers["FlexAttention"] = lambda: ready(_flex(allowed))
    return Case(
        name=f"{what}, {batch} x {HEADS} heads x {length} x {FEATURES}",
        backward=backward,
        ours=lambda: ready(ours),
        peers=peers,
        targets=targets,
        products=4.0 * pairs * HEADS * FEATURES * (3.5 if backward else 1.0),
    )


def _flex(allowed: Tensor) -> Callable[..., Tensor]:
    """FlexAttention compiled, with the mask's blocks made beforehand."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    table = allowed.expand(1, 1, *allowed.shape[-2:])[0, 0]
    blocks = create_block_mask(lambda b, h, i, j: table[i, j], None, None, *table.shape, device="cpu")
    return partial(torch.compile(flex_attention), block_mask=blocks)


def scaling(length: int) -> dict[str, float]:
    """Forward and backward of a window of 129 over `length` tokens: microseconds and peak kilobytes per token, beyond
    the tensors given. To be asked in a fresh process, whose peak is this call's."""
    tensors = [torch.randn(1, HEADS, length, FEATURES, requires_grad=True) for _ in range(3)]
    upstream = torch.randn(1, HEADS, length, FEATURES)
    warm = [torch.randn(1, HEADS, 1024, FEATURES, requires_grad=True) for _ in range(3)]
    at.attend(*warm, mask=at.window(64, 64)).context.sum().backward()

    def run() -> None:
        for tensor in tensors:
            tensor.grad = None
        at.attend(*tensors, mask=at.window(64, 64)).context.backward(upstream)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    fastest = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        run()
        fastest = min(fastest, time.perf_counter() - began)
    return {"length": length, "us_per_token": 1e6 * fastest / length, "kb_per_token": grown / length}


def main() -> None:
    if len(sys.argv) == 2:
        print(json.dumps(scaling(int(sys.argv[1]))))
        return
    for length in SCALING_LENGTHS:
        subprocess.run([sys.executable, "-m", __spec__.name, str(length)], check=True)


if __name__ == "__main__":
    main()

"""Every query attends to every key, or to every earlier one: beside torch's fused kernel."""

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

import attentio as at
from engine_cases.case import Case, ready

HEADS, FEATURES = 8, 64
LENGTHS = (32, 64, 128, 256, 512, 1024, 2048, 4096)
TOKENS = 4096
"""In a batch; so all lengths have as many queries."""


def cases() -> list[Case]:
    return [
        _case(length, causal, backward) for backward in (False, True) for causal in (False, True) for length in LENGTHS
    ]


def _case(length: int, causal: bool, backward: bool) -> Case:
    batch = TOKENS // length
    mask = at.causal() if causal else None

    def ours(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return at.attend(query, key, value, mask=mask).context

    def theirs(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(query, key, value, is_causal=causal)

    tensors = [torch.randn(batch, HEADS, length, FEATURES) for _ in range(3)]
    forward = 4.0 * TOKENS * length * HEADS * FEATURES * (0.5 if causal else 1.0)
    return Case(
        name=f"{'causal' if causal else 'full'}, {batch} x {HEADS} heads x {length} x {FEATURES}",
        backward=backward,
        ours=partial(ready, ours, tensors, backward=backward),
        peers={"SDPA": partial(ready, theirs, tensors, backward=backward)},
        targets={"SDPA": 1.3 if length == 64 else 0.95},
        products=forward * (3.5 if backward else 1.0),
    )

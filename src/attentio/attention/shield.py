"""NaN and inf in masked keys and values: they cannot reach the result, nor a gradient.

A weight of 0 is no protection, since 0 * NaN = NaN, forward and backward. So a call with a mask whose keys or
values are not all finite is done with zeros in their place; then the queries that *may* attend to one of them
get NaN added, as is their due. On the CPU an engine first does without and looks whether what came out is finite,
which costs one sum; anywhere else the question would stall the device or break the graph of a compiled or exported
model, so there the shield is always up: it costs a pass over keys and values and one over the mask, never another
product.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from attentio.attention.call import Attended, Call
from attentio.attention.transforms import plain_only

Computed = Callable[[Call, Tensor | None], Attended]


def known_finite(*tensors: Tensor) -> bool:
    """Whether it is known, without waiting for a device, that there is neither NaN nor inf in any of them."""
    if plain_only():
        return False
    # The sum of a tensor with NaN or inf is NaN or inf. A sum that only overflows costs the detour, not
    # correctness.
    return all(t.device.type == "cpu" and math.isfinite(t.detach().sum().item()) for t in tensors)


def guarded(compute: Computed, call: Call, allowed: Bool[Tensor, "... _ _"] | None) -> Attended:
    """`compute(call, allowed)` as it is where that is known to be safe, `shielded` elsewhere. allowed: None where each
    query sees the keys up to its own number."""
    if call.key.device.type == "cpu" and not plain_only():
        attended = compute(call, allowed)
        if came_out_finite(attended.context, call):
            return attended
    return shielded(compute, call, allowed)


def came_out_finite(context: Float[Tensor, "batch *heads q dv"], call: Call) -> bool:
    """Whether nothing that is not finite can have come through a weight of 0, now or in the backward pass.

    A finite context has seen no NaN. But a masked key, or a value in a block that is left out, leaves no trace in it
    and would come out of the backward pass: to the query, the key, a bias, or the parameters of a score.
    """
    return known_finite(context, call.key, call.value) if context.requires_grad else known_finite(context)


def shielded(compute: Computed, call: Call, allowed: Bool[Tensor, "... _ _"] | None) -> Attended:
    """`compute(call, allowed)`, safe from what is not finite in keys and values a query may not attend."""
    key_ok, value_ok = call.key.isfinite(), call.value.isfinite()
    key, value = call.key.masked_fill(~key_ok, 0.0), call.value.masked_fill(~value_ok, 0.0)
    context, weights = compute(call._replace(key=key, value=value), allowed)
    bad_key, bad_value = ~key_ok.all(dim=-1), ~value_ok.all(dim=-1)
    # Added, not filled in, so that NaN coming back as a gradient is not hidden from the parameters either.
    context = context + _nan_where_seen(bad_key | bad_value, allowed, context.shape[-2]).to(context.dtype)
    if weights is not None:
        weights = weights + _nan_where_seen(bad_key, allowed, context.shape[-2]).to(weights.dtype)
    return Attended(context, weights)


def _nan_where_seen(
    bad: Bool[Tensor, "batch *heads k"], allowed: Bool[Tensor, "... _ _"] | None, queries: int
) -> Float[Tensor, "batch *heads _ 1"]:
    """NaN for a query that may attend to a bad key, 0 for the others."""
    if allowed is None:
        last = torch.arange(queries, device=bad.device).clamp(max=bad.shape[-1] - 1)
        seen = (bad.cumsum(dim=-1) > 0)[..., last, None]
    else:
        seen = (bad[..., None, :] & allowed).any(dim=-1, keepdim=True)
    return torch.zeros(seen.shape, device=seen.device).masked_fill(seen, float("nan"))

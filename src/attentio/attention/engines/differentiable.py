"""Second derivatives. What an engine's own backward pass computes is nothing that autograd could differentiate again.
So where a backward pass is itself recorded (`create_graph`), the gradients are made here, of plain torch operations.

torch's `once_differentiable` is no guard: `autograd.grad` finds a way past its error, and gives zeros.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import CheckpointError

from attentio.devices import without_autocast

_Gradients = tuple[Tensor | None, ...]


def recorded_gradients(compute: Callable[..., Tensor], inputs: Sequence[Tensor | None], upstream: Tensor) -> _Gradients:
    """The gradients of compute(*inputs), such that they can be differentiated; None for what needs none."""
    with torch.enable_grad(), without_autocast(upstream.device):
        # Views: where one input depends on another, or is the same, each gets its own share only.
        views = [None if tensor is None else tensor.view_as(tensor) for tensor in inputs]
        wanted = [view for view in views if view is not None and view.requires_grad]
        if not wanted:
            return (None,) * len(views)
        output = compute(*views)
        grads = torch.autograd.grad(
            output, wanted, upstream.to(output.dtype), create_graph=True, materialize_grads=True
        )
    found = iter(grads)
    return tuple(next(found) if view is not None and view.requires_grad else None for view in views)


def recorded_gradients_by_weights(
    score: Callable[..., Tensor],
    compared: Sequence[Tensor],
    value: Float[Tensor, "batch heads k dv"],
    weights: Float[Tensor, "batch heads q k"],
    grad_context: Float[Tensor, "batch heads q dv"] | None,
    grad_weights: Float[Tensor, "batch heads q k"] | None,
) -> tuple[_Gradients, Tensor | None, Float[Tensor, "batch heads q k"]]:
    """The same for an engine that returns its weights: gradients of what is compared, of the value, of the scores.

    Mask and bias are in the weights, which are differentiated once more by the engine itself.
    """
    with without_autocast(value.device):
        of_value = None if grad_context is None else weights.transpose(-1, -2) @ grad_context
        of_weights = torch.zeros_like(weights) if grad_weights is None else grad_weights
        if grad_context is not None:
            of_weights = of_weights + grad_context @ value.transpose(-1, -2)
        of_scores = weights * (of_weights - (weights * of_weights).sum(dim=-1, keepdim=True))
    return recorded_gradients(score, compared, of_scores), of_value, of_scores


def give_second_derivative(context: Tensor, plain: Callable[..., Tensor]) -> None:
    """Where `context` comes from one of torch's fused kernels: its second derivative is that of `plain`, a function of
    query, key, value and attn_mask. torch itself knows none and raises an error.

    A hook, since it costs the usual backward pass nothing and keeps nothing: the arguments are those that torch saved.
    """
    if context.grad_fn is not None and context.grad_fn.name().startswith(_FUSED):
        context.grad_fn.register_hook(functools.partial(_fused_hook, plain))


_FUSED = "ScaledDotProduct"


def _fused_hook(plain: Callable[..., Tensor], found: _Gradients, upstream: _Gradients) -> _Gradients | None:
    if not torch.is_grad_enabled() or upstream[0] is None:
        return None
    node: Any = torch._C._current_autograd_node()
    try:
        mask = node._saved_attn_mask if hasattr(node, "_saved_attn_mask") else getattr(node, "_saved_attn_bias", None)
        inputs = node._saved_query, node._saved_key, node._saved_value, mask
    except CheckpointError:
        raise RuntimeError(
            "torch's fused attention has no second derivative inside checkpoint(use_reentrant=False), which gives what "
            'was saved only once; give attend engine="reference" there'
        ) from None
    again = recorded_gradients(plain, inputs, upstream[0])
    return tuple(None if old is None else new for old, new in zip(found, again, strict=False))

"""How far a model's probabilities are from its teachers', without ever holding the logits of a whole batch."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from attentio.layers.product import product
from attentio.models.protocols import Trainable

ROWS_AT_A_TIME = 512
"""Positions whose logits exist at one time: enough for an efficient product, few enough to stay near the cache."""


class Teaching:
    """Teachers, and the features that they have of a batch.

    teachers: of the same vocabulary as the model; no parameters of the loss, so that nothing trains or saves them.
    """

    def __init__(self, teachers: Sequence[nn.Module], *, weight: float) -> None:
        self.teachers = [cast(Trainable, teacher.eval().requires_grad_(False)) for teacher in teachers]
        self.weight = weight

    def divergence(
        self,
        model: Trainable,
        features: Float[Tensor, "positions features"],
        asked: Tensor,
        inputs: Sequence[Tensor],
    ) -> Float[Tensor, ""]:
        """Sum over the positions that are asked for of KL(teacher || model), in nats.

        log P = 1/M sum over the M teachers of log P_m - log Z, as several runs answer together.
        """
        with torch.no_grad():
            theirs = [(teacher.output, teacher.features(*inputs)[asked]) for teacher in self.teachers]

        def log_probs(rows: slice) -> Tensor:
            each = [product(found[rows].to(out.weight.dtype), out.weight, out.bias) for out, found in theirs]
            return torch.stack([logits.log_softmax(-1) for logits in each]).mean(0).log_softmax(-1)

        out = model.output
        with torch.autocast(features.device.type, enabled=False):
            return cast(Tensor, _LinearDivergence.apply(features, out.weight, out.bias, log_probs))


class _LinearDivergence(torch.autograd.Function):
    """sum_i KL(q_i || softmax(W x_i + b)). The gradient of the logits, p - q, is made in the forward pass."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, bias: Tensor | None, teacher: Any) -> Tensor:
        features = features.to(weight.dtype)
        grad_features = torch.empty_like(features)
        grad_weight, grad_bias = torch.zeros_like(weight.T), weight.new_zeros(len(weight))
        loss = features.new_zeros(())
        for start in range(0, len(features), ROWS_AT_A_TIME):
            block = slice(start, start + ROWS_AT_A_TIME)
            ours, theirs = product(features[block], weight, bias).log_softmax(-1), teacher(block)
            wanted = theirs.exp()
            loss += (wanted * (theirs - ours)).sum()
            grad = ours.exp_().sub_(wanted)
            grad_features[block] = product(grad, weight.T)
            grad_weight += product(features[block].T, grad.T)
            grad_bias += grad.sum(0)
        ctx.save_for_backward(grad_features, grad_weight.T, grad_bias)
        ctx.has_bias = bias is not None
        return loss

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # create_graph: the gradient would be a constant to it, without a word
            raise RuntimeError("the divergence has no second derivative; call backward without create_graph")
        features, weight, bias = (saved * grads[0] for saved in ctx.saved_tensors)
        return features, weight, bias if ctx.has_bias else None, None

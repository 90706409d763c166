"""R-Drop: dropout makes two models of one, which are to agree."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from attentio.training.cross_entropy import of_smoothed
from attentio.training.linear_loss import linear_loss


def agreeing_cross_entropy(
    one: Float[Tensor, "positions features"],
    other: Float[Tensor, "positions features"],
    weight: Float[Tensor, "vocab features"],
    bias: Float[Tensor, "vocab"] | None,
    target: Int[Tensor, "positions"],
    *,
    label_smoothing: float,
    never: int | None,
    r_drop: float,
) -> Float[Tensor, ""]:
    """Sum over positions of what two passes with dropout lose, and of how far they are apart, in nats:

        1/2 (loss(P) + loss(Q)) + r_drop / 4 (KL(P || Q) + KL(Q || P))

    one, other: the features of the passes. The rest, and gradients, as of `linear_cross_entropy`.

    Reference: Liang et al. 2021, "R-Drop: Regularized Dropout for Neural Networks", equation 4; half of it, so that a
    batch weighs as much as it does in one pass.
    """
    side_by_side = torch.stack([one, other], 1).flatten(0, 1)
    smoothed = of_smoothed(target.repeat_interleave(2), len(weight), label_smoothing=label_smoothing, never=never)

    def of_logits(logits: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
        log_p, log_q = logits.log_softmax(1).unflatten(0, (-1, 2)).unbind(1)
        loss, grad = smoothed(logits, rows)
        p, q, between = log_p.exp(), log_q.exp(), log_p - log_q
        to_q, to_p = (p * between).sum(1, keepdim=True), -(q * between).sum(1, keepdim=True)
        by_p = p * (between - to_q) + p - q
        by_q = q * (-between - to_p) + q - p
        grad.mul_(0.5).add_(torch.stack([by_p, by_q], 1).flatten(0, 1), alpha=r_drop / 4)
        return loss / 2 + r_drop / 4 * (to_q + to_p).sum(), grad

    return linear_loss(side_by_side, weight, bias, of_logits)


def distance(
    log_p: Float[Tensor, "positions vocab"], log_q: Float[Tensor, "positions vocab"]
) -> Float[Tensor, "positions"]:
    """KL(P || Q) + KL(Q || P) at each position, in nats."""
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(1)

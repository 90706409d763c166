"""R-Drop: dropout makes two models of one, which are to agree."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from attentio.training.linear_loss import ROWS_AT_A_TIME, linear_loss


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
    half = ROWS_AT_A_TIME // 2
    blocks = zip(one.split(half), other.split(half), strict=True)
    side_by_side = torch.cat([features for block in blocks for features in block])
    spread, share = label_smoothing / (len(weight) - (never is not None)), r_drop / 4
    left_out = slice(0) if never is None else slice(never, never + 1)
    # Memory that is taken anew for every block costs more than what is reckoned in it.
    room = weight.new_empty(3 * half, len(weight))

    def of_logits(logits: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
        pairs = len(logits) // 2
        wanted = target[rows.start // 2 :][:pairs].repeat(2).unsqueeze(1)
        logits.sub_(logits.amax(1, keepdim=True))
        probs = torch.exp(logits, out=room[: 2 * pairs])
        total = probs.sum(1, keepdim=True)
        p, q = probs.div_(total).chunk(2)
        log_p, log_q = logits.sub_(total.log()).chunk(2)
        loss = (label_smoothing - 1) * logits.gather(1, wanted).sum()
        loss -= spread * (logits.sum() - logits[:, left_out].sum())
        apart = torch.sub(log_p, log_q, out=room[2 * half :][:pairs])
        to_q, to_p = torch.linalg.vecdot(p, apart)[:, None], -torch.linalg.vecdot(q, apart)[:, None]
        # 1/2 p + share (p (apart - to_q) + p - q), and the same of the other; minus half of what is wanted.
        torch.mul(apart, share, out=log_p).add_(share * (1 - to_q) + 0.5).mul_(p).sub_(q, alpha=share)
        torch.mul(apart, -share, out=log_q).add_(share * (1 - to_p) + 0.5).mul_(q).sub_(p, alpha=share)
        grad = logits.sub_(spread / 2)
        grad[:, left_out] += spread / 2
        grad.scatter_add_(1, wanted, grad.new_full(wanted.shape, (label_smoothing - 1) / 2))
        return loss / 2 + share * (to_q + to_p).sum(), grad

    return linear_loss(side_by_side, weight, bias, of_logits)


def distance(
    log_p: Float[Tensor, "positions vocab"], log_q: Float[Tensor, "positions vocab"]
) -> Float[Tensor, "positions"]:
    """KL(P || Q) + KL(Q || P) at each position, in nats."""
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(1)

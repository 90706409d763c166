"""Weight times gradient: to first order, what the log-probability of a token said would lose without a weight.

    a_qk * d log p(y_t) / d a_qk        d / d a_qk = (d / d context_q) . value_k

The gradient by a weight is made from that by the context, so that the engine that computes the attention need not know.

Reference: Serrano and Smith 2019, "Is Attention Interpretable?", section 3; Chefer, Gur and Wolf 2021, "Generic
Attention-model Explainability", equation 5, with the mean over heads left out.
"""

from collections import defaultdict

import torch
from jaxtyping import Float
from torch import Tensor

from attentio.attention.call import Attended
from attentio.capturing.seen import Seen
from attentio.layers.multihead import CrossAttention, SelfAttention
from attentio.runs.asked import Asked
from attentio.runs.contexts import through


def gradients(asked: Asked, seen: Seen) -> dict[str, Float[Tensor, "said heads q k"]]:
    """Of each token said, for each weight of each attention. seen: with its parts."""
    recorded: dict[str, list[tuple[Tensor, Tensor | None]]] = defaultdict(list)

    def record(name: str, attended: Attended) -> Attended:
        context, weights = attended
        if not context.requires_grad:  # where the model's parameters do not
            context = context.detach().requires_grad_()
        if weights is not None:
            weights = weights.clone()  # what is read of them directly, and not through the context
        recorded[name].append((context, weights))
        return Attended(context, weights)

    with torch.inference_mode(False), torch.enable_grad():
        with through(asked.model, record):
            chosen = asked.log_probs(asked.copies(len(asked.said))).diagonal().sum()
        parts = [each for steps in recorded.values() for step in steps for each in step if each is not None]
        found = iter(torch.autograd.grad(chosen, parts, materialize_grads=True))
    by_name = {}
    for name, steps in recorded.items():
        taken = [(next(found), None if weights is None else next(found)) for _, weights in steps]
        by_name[name] = _of_attention(asked, seen, name, taken)
    return by_name


def _of_attention(
    asked: Asked, seen: Seen, name: str, taken: list[tuple[Tensor, Tensor | None]]
) -> Float[Tensor, "said heads q k"]:
    """From the gradients by its contexts, of one step after another or of all at once, and by its weights."""
    (call,) = seen.of(name)
    weights = call.dense()[0].float()
    if isinstance(asked.model.get_submodule(name), SelfAttention | CrossAttention):
        assert call.value is not None
        values = call.value[0].float()
    else:  # a recurrent decoder mixes what the encoder gives out
        with torch.inference_mode():
            values = asked.model.encode(*asked.inputs[:2]).outputs.cpu().float()  # type: ignore[operator]
    by_context = torch.cat([each for each, _ in taken], 1).cpu().float()
    heads = by_context.unflatten(-1, (len(weights), -1)).transpose(1, 2)  # [said, heads, q, dv]
    by_weight = heads @ values.transpose(-1, -2)
    direct = [each for _, each in taken if each is not None]
    if direct:
        by_weight = by_weight + torch.cat(direct, 1).cpu().float()[:, None]
    return by_weight * weights

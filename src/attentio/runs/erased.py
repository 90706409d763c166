"""Erase and see: a text read again without one token, or one head, at a time, and how much its output loses."""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from attentio.attention.call import Attended
from attentio.page.evidence import WithoutHead, WithoutHeads
from attentio.runs.asked import Asked
from attentio.runs.contexts import attentions, through
from attentio.text.protocol import AnyTokenizer

LONGEST = 48
"""Tokens of a text up to which each is replaced once."""


def losses(asked: Asked, *, unknown: int) -> Float[Tensor, "said length"]:
    """What the probability of each token said loses when one token read is not known; below 0, what it gains.

    unknown: the id that stands in for the token.
    """
    length = asked.inputs[0].shape[1]
    first, *others = asked.copies(length + 1)
    without = first.clone()
    without[1:].fill_diagonal_(unknown)
    with torch.inference_mode():
        chances = asked.log_probs((without, *others)).exp()
    return (chances[:1] - chances[1:]).T.cpu()


def without_heads(asked: Asked, tokenizer: AnyTokenizer) -> WithoutHeads:
    """The output without each head, whose context is set to 0; the head that it loses most without comes first.

    Reference: Michel, Levy and Neubig 2019, "Are Sixteen Heads Really Better than One?", section 3.
    """
    with torch.inference_mode():
        (whole,), (best,) = _said(asked, asked.distribution(asked.copies(1)))
        heads = [
            one
            for name, count in attentions(asked.model).items()
            for one in _without(asked, tokenizer, name, count, best)
        ]
    return WithoutHeads(tokenizer.tokens(asked.said), whole, sorted(heads, key=lambda one: float(one.log_probs.sum())))


def _without(
    asked: Asked, tokenizer: AnyTokenizer, name: str, heads: int, best: Int[Tensor, "said"]
) -> Iterator[WithoutHead]:
    """Copy i of the text is read without head i. best: the likeliest tokens with all heads."""
    kept = 1 - torch.eye(heads, device=asked.inputs[0].device)

    def drop(attention: str, attended: Attended) -> Attended:
        if attention != name:
            return attended
        each = attended.context.unflatten(-1, (heads, -1))
        return attended._replace(context=(each * kept[:, None, :, None].to(each.dtype)).flatten(2))

    with through(asked.model, drop):
        log_probs, now = _said(asked, asked.distribution(asked.copies(heads)))
    for head in range(heads):
        other = (now[head] != best).nonzero()[:, 0].tolist()
        tokens = tokenizer.tokens(now[head, other].tolist())
        yield WithoutHead(name, head, log_probs[head], list(zip(other, tokens, strict=True)))


def _said(
    asked: Asked, distribution: Float[Tensor, "copies said vocab"]
) -> tuple[Float[Tensor, "copies said"], Int[Tensor, "copies said"]]:
    """log p of what was said, and the likeliest tokens."""
    said = torch.tensor(asked.said, device=distribution.device).expand(len(distribution), -1)
    log_probs = distribution.gather(2, said[..., None])[..., 0]
    distribution[..., list(asked.suppressed)] = -torch.inf
    return log_probs.cpu(), distribution.argmax(-1).cpu()

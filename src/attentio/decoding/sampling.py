"""Drawing from a model, one token a step: temperature, top-k, top-p, min-p and a repetition penalty."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from attentio.decoding.constraints import NONE, TokenConstraints
from attentio.decoding.search import NOT_FINITE
from attentio.devices import as_float64, for_float64
from attentio.errors import AttentioError
from attentio.models.protocols import StepDecoder

COLDEST, HOTTEST = 1e-6, 1000.0
"""Lowest temperature that is not greedy: below it the quotients leave float32; and highest, where all is even."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the next token is drawn: what these say is done in this order; None leaves a filter out.

    repetition_penalty: see `penalize_repetition`; 1 for none.
    temperature: logits are divided by it; 0 is greedy, which takes the most probable token.
    top_k, top_p, min_p: see `keep_top_k`, `keep_top_p`, `keep_min_p`. Each is given the distribution that the one
        before leaves, its probabilities summing to 1 again.

    Raises:
        ValueError: a number out of its range.

    >>> at.Sampling(temperature=0.0)  # greedy
    Sampling(repetition_penalty=1.0, temperature=0.0, top_k=None, top_p=None, min_p=None)
    >>> logits = torch.tensor([3.0, 2.0, 1.0, 0.0])
    >>> at.Sampling(temperature=2.0, top_k=2).distribution(logits)
    tensor([0.6225, 0.3775, 0.0000, 0.0000])
    >>> at.Sampling(top_p=0.8).distribution(logits)
    tensor([0.7311, 0.2689, 0.0000, 0.0000])
    >>> at.Sampling(min_p=0.5, repetition_penalty=1.2).distribution(logits)
    tensor([1., 0., 0., 0.])
    """

    repetition_penalty: float = 1.0
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None

    def __post_init__(self) -> None:
        if self.temperature != 0 and not COLDEST <= self.temperature <= HOTTEST:
            raise ValueError(f"temperature must be 0 (greedy), or {COLDEST} to {HOTTEST}, got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {self.top_k}")
        for name, value in (("top_p", self.top_p), ("min_p", self.min_p)):
            if value is not None and not 0 < value <= 1:
                raise ValueError(f"{name} must be above 0 and at most 1, got {value}")
        if not 1e-6 <= self.repetition_penalty <= 1e6:  # quotients and products stay in float32
            raise ValueError(f"repetition_penalty must be above 0, from 1e-6 to 1e6, got {self.repetition_penalty}")

    def distribution(self, logits: Float[Tensor, "*batch vocab"]) -> Float[Tensor, "*batch vocab"]:
        """The probabilities to draw with, from logits that the repetition penalty has seen; temperature above 0."""
        logits = (logits - logits.amax(-1, keepdim=True)) / self.temperature
        if self.top_k is not None:
            logits = keep_top_k(logits, self.top_k)
        if self.top_p is not None:
            logits = keep_top_p(logits, self.top_p)
        if self.min_p is not None:
            logits = keep_min_p(logits, self.min_p)
        return logits.softmax(-1)


class Sampled(NamedTuple):
    """One step of every hypothesis.

    tokens: what was drawn; `end` for a hypothesis that has ended.
    log_probs: natural logarithm of the probability that the model itself gives to the token, before the
        temperature and all else; 0 for a hypothesis that had ended before.
    weights: the attention that produced the token, over whatever keys the decoder has (slots of a cache, for a
        Transformer); None where it was not asked for, or there is none.
    live: the hypotheses that had not ended before this step.
    """

    tokens: Int[Tensor, "batch beam"]
    log_probs: Float[Tensor, "batch beam"]
    weights: Float[Tensor, "batch beam keys"] | None
    live: Bool[Tensor, "batch beam"]


def sample(
    decoder: StepDecoder,
    state: Any,
    last_token: Int[Tensor, "batch beam"],
    *,
    sampling: Sampling,
    max_tokens: int,
    end: int,
    forbidden: Sequence[int] = (),
    prompt: Int[Tensor, "batch prompt"] | None = None,
    generator: torch.Generator | Sequence[torch.Generator] | None = None,
    limits: Int[Tensor, "batch"] | None = None,
    constraints: TokenConstraints = NONE,
    need_weights: bool = False,
) -> Iterator[Sampled]:
    """Go on from `state`, step by step, until every hypothesis has drawn `end` or has `max_tokens` tokens.

    A step is yielded as soon as it is drawn. Hypotheses are drawn independently of each other; several samples
    of one prompt stand on the beam axis (`state.reorder(zeros)` makes them of one).

    Args:
        decoder: gives the logits of the next token.
        state: what the decoder has read, `last_token` not included.
        last_token: the token of each hypothesis to go on from: at first the last of its prompt.
        sampling: how the next token is drawn.
        max_tokens: most steps; drawing `end` is one.
        end: the id that ends a hypothesis.
        forbidden: ids that are never drawn, such as padding, begin and unknown.
        prompt: ids that the repetition penalty counts as said, besides `last_token` and what is drawn.
        generator: where the randomness comes from; what is drawn is drawn on its device. None for torch's own. With one
            for each sentence, what is drawn for it does not depend on the other sentences.
        limits: tokens after which a sentence may only end; None for no such limit.
        constraints: what the outputs must be like; nothing can be required of what is drawn.
        need_weights: also give the attention, which takes time.

    Raises:
        ValueError: at the first step max_tokens below 1, or end forbidden.
        AttentioError: at any step logits that are NaN or leave no allowed token possible.
    """
    if max_tokens < 1:
        raise ValueError(f"max_tokens must be at least 1, got {max_tokens}")
    if end in forbidden:
        raise ValueError(f"forbidden must not contain the end token {end}, got {list(forbidden)}")
    if constraints.required or (limits is not None and int(limits.min()) < len(constraints.prefix)):
        raise ValueError("constraints must require no tokens, and have a prefix that fits into the limits")
    banned = torch.tensor(sorted(set(forbidden)), dtype=torch.long, device=last_token.device)
    drawn = last_token.new_empty(*last_token.shape, 0) if constraints.needs_history else None
    live = torch.ones_like(last_token, dtype=torch.bool)
    token, said = last_token, None
    for count in range(max_tokens):
        with torch.no_grad():  # not around the yield, where the caller's code runs
            logits, weights, state = decoder.step(token, state, need_weights=need_weights)
            allowed = logits.index_fill(-1, banned, -math.inf)
            if not allowed.amax(-1).isfinite().all():
                raise AttentioError(NOT_FINITE)
            if sampling.repetition_penalty != 1:
                said = _said(logits, prompt) if said is None else said
                said.scatter_(-1, token[..., None], True)
                allowed = penalize_repetition(allowed, said, sampling.repetition_penalty)
            if drawn is not None:
                constraints.restrict(allowed, drawn, end=end)
            if limits is not None:
                others = torch.arange(allowed.shape[-1], device=allowed.device) != end
                allowed = allowed.masked_fill((limits <= count)[:, None, None] & others, -math.inf)
            token = _draw(allowed, sampling, generator).masked_fill(~live, end)
            if drawn is not None:
                drawn = torch.cat([drawn, token[:, :, None]], dim=2)
            log_probs = logits.log_softmax(-1).gather(-1, token[..., None]).squeeze(-1).masked_fill(~live, 0.0)
        yield Sampled(token, log_probs, weights, live)
        live = token != end
        if not live.any():
            return


def keep_top_k(logits: Float[Tensor, "*batch vocab"], k: int) -> Float[Tensor, "*batch vocab"]:
    """-inf for all but the `k` greatest logits; those that equal the k-th stay too.

    Reference: Fan et al. 2018, "Hierarchical Neural Story Generation", section 5.
    """
    least = logits.topk(min(k, logits.shape[-1])).values[..., -1:]
    return logits.masked_fill(logits < least, -math.inf)


def keep_top_p(logits: Float[Tensor, "*batch vocab"], p: float) -> Float[Tensor, "*batch vocab"]:
    """-inf outside the nucleus, the fewest tokens whose probabilities sum to at least `p`.

    Of equal tokens the one with the lower id comes first.

    Reference: Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration", section 3.1, equations 2 and 3.
    """
    ordered, order = logits.sort(dim=-1, descending=True, stable=True)
    probabilities = as_float64(ordered).softmax(-1)
    outside = (probabilities.cumsum(-1) - probabilities >= p).to(logits.device)  # those before it are enough
    return logits.masked_fill(torch.zeros_like(outside).scatter(-1, order, outside), -math.inf)


def keep_min_p(logits: Float[Tensor, "*batch vocab"], p: float) -> Float[Tensor, "*batch vocab"]:
    """-inf for tokens less than `p` times as probable as the most probable one.

    Reference: Nguyen et al. 2024, "Turning Up the Heat: Min-p Sampling for Creative and Coherent LLM Outputs",
        section 3.
    """
    return logits.masked_fill(logits < logits.amax(-1, keepdim=True) + math.log(p), -math.inf)


def penalize_repetition(
    logits: Float[Tensor, "*batch vocab"], said: Bool[Tensor, "*batch vocab"], penalty: float
) -> Float[Tensor, "*batch vocab"]:
    """Tokens that were said before get logit / penalty where it is positive, logit * penalty where negative.

    A penalty above 1 makes them less probable, one below 1 more. The result depends on where the logits have
    their zero: they must be those of the output layer.

    Reference: Keskar et al. 2019, "CTRL: A Conditional Transformer Language Model for Controllable Generation",
        section 4.1. The equation there divides negative logits too, which would reward repetition; the authors'
        code and ours multiply them.
    """
    return torch.where(said, torch.where(logits > 0, logits / penalty, logits * penalty), logits)


def _said(
    logits: Float[Tensor, "batch beam vocab"], prompt: Int[Tensor, "batch prompt"] | None
) -> Bool[Tensor, "batch beam vocab"]:
    said = torch.zeros_like(logits, dtype=torch.bool)
    return said if prompt is None else said.scatter_(-1, prompt[:, None].expand(-1, logits.shape[1], -1), True)


def _draw(
    logits: Float[Tensor, "batch beam vocab"],
    sampling: Sampling,
    generator: torch.Generator | Sequence[torch.Generator] | None,
) -> Int[Tensor, "batch beam"]:
    if sampling.temperature == 0:
        return logits.argmax(-1)
    if isinstance(generator, Sequence):
        each = zip(logits.split(1), generator, strict=True)
        return torch.cat([_draw(rows, sampling, one) for rows, one in each])
    drawn_on = logits.device if generator is None else generator.device
    # One number for each hypothesis, however many tokens there are: where a model copies, that depends on the batch.
    exact = torch.float64 if for_float64(drawn_on) == drawn_on else torch.float32
    number = torch.rand(*logits.shape[:-1], 1, generator=generator, device=drawn_on, dtype=exact)
    so_far = as_float64(sampling.distribution(logits.to(drawn_on))).cumsum(-1)
    so_far /= so_far[..., -1:].clone()
    return torch.searchsorted(so_far, as_float64(number), right=True).squeeze(-1).to(logits.device)

"""Greedy and beam search over any `StepDecoder`: the whole batch at once, and no knowledge of the model."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from attentio.decoding.constraints import NONE, TokenConstraints
from attentio.errors import AttentioError
from attentio.models.protocols import StepDecoder

_WORTH_LEAVING = 0.75
"""Sentences that are done leave the batch when no more than this share of it is still open."""


ASTRAY = "its weights are damaged, or its training went astray"
NOT_FINITE = f"the decoder's logits must be finite for some allowed token, got NaN, +inf or all -inf; {ASTRAY}"

_BLOCK, _MANY_SCORES = 64, 2**16
"""See `_most_probable`."""


class Hypothesis(NamedTuple):
    """One output of the search.

    tokens: the produced ids, without the end token.
    score: log_prob / gnmt_penalty(len(tokens) + 1, alpha); what the search maximises.
    log_prob: natural logarithm of the probability the model gives to the tokens and the end token.
    weights: the attention that produced each token, the end token last; None for a model without attention, or if
        not wanted. The source axis is as wide as the decoder gave it: that of the longest source in the batch.
    finished: the model itself ended here. False when the maximum length ended the hypothesis although
        another token was more probable than the end: the output is cut off.
    log_probs: of each token given those before it, the end token last; they sum to log_prob.
    copied: how probable it was of each token that it is copied from the source; None from a search, which knows of no
        such thing.
    """

    tokens: list[int]
    score: float
    log_prob: float
    weights: Float[Tensor, "target source"] | None
    finished: bool
    log_probs: list[float]
    copied: list[float] | None = None


class _Growth(NamedTuple):
    """The best one-token extensions of a sentence's hypotheses, best first; -inf where there were too few."""

    parents: Int[Tensor, "batch beam"]
    tokens: Int[Tensor, "batch beam"]
    log_probs: Float[Tensor, "batch beam"]
    finished: Bool[Tensor, "batch beam"]


class _Record(NamedTuple):
    """What one step leaves behind for reading the hypotheses off at the end.

    rows: the original number of each sentence that was still in the batch.
    scores: those of the hypotheses that ended at this step, -inf for all others.
    weights: as the decoder gave them, before the extension: a token's row stands at its parent.
    """

    rows: Int[Tensor, "batch"]
    growth: _Growth
    scores: Float[Tensor, "batch beam"]
    weights: Float[Tensor, "batch parent source"] | None


def gnmt_penalty(length: int, alpha: float) -> float:
    """lp(Y) = ((5 + |Y|) / 6) ** alpha, where |Y| counts the end token; 1 for alpha = 0.

    Reference: Wu et al. 2016, "Google's Neural Machine Translation System", section 7, equation 14
    (without the coverage penalty).
    """
    return float(((5 + length) / 6) ** alpha)


@torch.no_grad()
def search(
    decoder: StepDecoder,
    state: Any,
    *,
    max_lengths: Int[Tensor, "batch"],
    begin: int,
    end: int,
    forbidden: Sequence[int] = (),
    beam: int = 1,
    length_penalty: float = 1.0,
    n_best: int = 1,
    need_weights: bool = True,
    constraints: TokenConstraints = NONE,
    each_step: Callable[[], None] = lambda: None,
) -> list[list[Hypothesis]]:
    """The most probable outputs of each sentence, by beam search; greedy search for beam = 1.

    Each step extends every live hypothesis by every token and keeps the `beam` most probable extensions of
    each sentence. Those that chose `end` are set aside with score log P(Y) / lp(Y); the others live on. At
    its maximum length a hypothesis may only end, and pays the model's price for it, so that every `log_prob`
    is that of a complete output. Probabilities are the model's own: excluding tokens renormalises nothing.

    A sentence is done as soon as nothing can change its `n_best` any more; it leaves the batch together with others,
    because taking rows out of the decoder's state copies the rest. A live hypothesis can
    reach at most log_prob / lp(max_length + 1), because extending it never raises its log-probability and lp
    grows with the length; when even the best live one cannot beat the n_best-th ended one, going on is of no
    use. The result is therefore that of running to the maximum length, and it does not depend on the other
    sentences of the batch.

    Where tokens are required, each step keeps the `beam` most probable extensions for each number of required tokens
    that are still missing, so that what is improbable but required has its place (Hokamp & Liu 2017, "Lexically
    Constrained Decoding for Sequence Generation Using Grid Beam Search").

    Args:
        decoder: gives the logits of the next token.
        state: `decoder.start(memory)`, one hypothesis a sentence. It is given to the search.
        max_lengths: most tokens each sentence may have, the end token not counted; on the decoder's device.
        begin: the id that every hypothesis is started with.
        end: the id that ends a hypothesis.
        forbidden: ids that are never produced, such as padding, begin and unknown.
        beam: number of hypotheses that are extended at each step.
        length_penalty: alpha of `gnmt_penalty`; 0 compares plain log-probabilities. It never changes what
            greedy search finds, only the score.
        n_best: number of hypotheses wanted for each sentence, at most `beam`.
        need_weights: whether the hypotheses carry their attention, which costs time.
        constraints: what the outputs must be like.
        each_step: called before each step; what it raises ends the search.

    Returns:
        For each sentence up to `n_best` distinct hypotheses, best first; fewer only if fewer outputs exist, and none
        only if none was found that meets the constraints.

    Raises:
        ValueError: for arguments out of range, and a sentence whose hypotheses the model forbids to end.
        AttentioError: logits that are NaN or leave no allowed token possible.
    """
    limits: list[int] = max_lengths.tolist()
    _check(limits, end=end, forbidden=forbidden, beam=beam, length_penalty=length_penalty, n_best=n_best)
    banned = torch.tensor(sorted(set(forbidden)), dtype=torch.long, device=max_lengths.device)
    longest_penalty = max_lengths.new_tensor([gnmt_penalty(n + 1, length_penalty) for n in limits], dtype=torch.float)
    rows = torch.arange(len(limits), device=max_lengths.device)
    token = torch.full_like(rows, begin)[:, None]
    live = torch.zeros_like(longest_penalty)[:, None]
    best = live.new_full((len(limits), n_best), -math.inf)
    trace: list[_Record] = []
    said = token.new_empty(*token.shape, 0) if constraints.needs_history else None
    while len(rows):
        each_step()
        length = len(trace)
        step = decoder.step(token, state, need_weights=need_weights)
        full = max_lengths <= length
        growth = _extend(live, step.logits, full, banned, end=end, beam=beam, constraints=constraints, said=said)
        ended = growth.tokens == end
        scores = (growth.log_probs / gnmt_penalty(length + 1, length_penalty)).masked_fill(~ended, -math.inf)
        trace.append(_Record(rows, growth, scores, step.weights))

        live = growth.log_probs.masked_fill(ended, -math.inf)
        best = torch.cat([best, scores], dim=1).topk(n_best).values
        open_ = live.amax(dim=1) / longest_penalty > best[:, -1]
        live = live.masked_fill(~open_[:, None], -math.inf)
        stay = open_.nonzero().squeeze(1)
        token, parents, state = growth.tokens, growth.parents, step.state
        if said is not None:
            said = torch.cat([said.take_along_dim(parents[:, :, None], dim=1), token[:, :, None]], dim=2)
        if len(stay) <= len(rows) * _WORTH_LEAVING:
            rows, token, parents, live, best = (x[stay] for x in (rows, token, parents, live, best))
            max_lengths, longest_penalty = max_lengths[stay], longest_penalty[stay]
            said = None if said is None else said[stay]
            state = state.keep(stay) if len(stay) else state
        if len(stay) and not _is_identity(parents, step.logits.shape[1]):
            state = state.reorder(parents)
    found = _read_off(trace, batch=len(limits), n_best=n_best)
    if [] in found and not constraints.needs_history:
        raise ValueError(f"the decoder must let a hypothesis end, got no possible end for sentence {found.index([])}")
    return found


def _check(
    limits: list[int], *, end: int, forbidden: Sequence[int], beam: int, length_penalty: float, n_best: int
) -> None:
    if beam < 1:
        raise ValueError(f"beam must be at least 1, got {beam}")
    if not 1 <= n_best <= beam:
        raise ValueError(f"n_best must be between 1 and beam = {beam}, got {n_best}")
    if not 0 <= length_penalty < math.inf:
        raise ValueError(f"length_penalty must be finite and not negative, got {length_penalty}")
    if end in forbidden:
        raise ValueError(f"forbidden must not contain the end token {end}, got {list(forbidden)}")
    if min(limits, default=0) < 0:
        raise ValueError(f"max_lengths must not be negative, got {min(limits)}")


def _extend(
    live: Float[Tensor, "batch parent"],
    logits: Float[Tensor, "batch parent vocab"],
    full: Bool[Tensor, "batch"],
    banned: Int[Tensor, "banned"],
    *,
    end: int,
    beam: int,
    constraints: TokenConstraints,
    said: Int[Tensor, "batch parent length"] | None,
) -> _Growth:
    """The `beam` most probable extensions of each sentence and bank; only `end` where the sentence is `full`.

    A slot whose `live` is -inf holds no hypothesis; what the decoder says there, be it NaN, is ignored.
    """
    parents, vocab = logits.shape[1:]
    precision = torch.promote_types(logits.dtype, torch.float32)
    log_probs = logits.log_softmax(-1, dtype=precision).index_fill_(-1, banned, -math.inf)
    top = log_probs.amax(-1)
    dead = live.isneginf()
    if not (top.isfinite() | dead).all():
        raise AttentioError(NOT_FINITE)
    finished = (log_probs[:, :, end] >= top) | ~full[:, None]
    if said is not None:
        constraints.restrict(log_probs, said, end=end)

    # One row for each hypothesis: filling rows by number is far cheaper than a mask over the vocabulary.
    rows = log_probs.flatten(0, 1)
    ends = rows[:, end].clone()
    rows.index_fill_(0, full.repeat_interleave(parents).nonzero().squeeze(1), -math.inf)
    rows[:, end] = ends
    rows.index_fill_(0, dead.flatten().nonzero().squeeze(1), -math.inf)
    if said is not None and constraints.required:
        return _in_banks(live, log_probs, finished, beam=beam, constraints=constraints, said=said)
    found, tokens = _most_probable(log_probs, beam)
    # With few tokens the beam needs some steps to fill: 1, vocab, vocab ** 2, ...
    best, choice = _best((found + live[:, :, None]).flatten(1), min(beam, parents * vocab))
    parent = choice // found.shape[2]
    return _Growth(parent, tokens.flatten(1).gather(1, choice), best, finished.gather(1, parent))


def _in_banks(
    live: Float[Tensor, "batch parent"],
    log_probs: Float[Tensor, "batch parent vocab"],
    finished: Bool[Tensor, "batch parent"],
    *,
    beam: int,
    constraints: TokenConstraints,
    said: Int[Tensor, "batch parent length"],
) -> _Growth:
    """The `beam` most probable extensions of each sentence, for each number of required tokens still missing."""
    required = torch.tensor(constraints.required_ids, device=said.device)
    wanted = log_probs[:, :, required]
    others, other_tokens = _most_probable(log_probs.index_fill_(2, required, -math.inf), beam)
    tokens = torch.cat([other_tokens, required.expand(wanted.shape)], dim=2)
    scores = (torch.cat([others, wanted], dim=2) + live[:, :, None]).flatten(1)

    nothing = torch.full_like(said[:, :, :1], -1)  # any token that is in no phrase
    missing = constraints.missing(torch.cat([said, nothing], dim=2))[:, :, None].expand(others.shape)
    longer = [said[:, :, None].expand(-1, -1, len(required), -1), required[:, None].expand(*wanted.shape, 1)]
    banks = torch.cat([missing, constraints.missing(torch.cat(longer, dim=3))], dim=2).flatten(1)

    count = min(beam, scores.shape[1])
    each = [_best(scores.masked_fill(banks != bank, -math.inf), count) for bank in range(constraints.banks)]
    best, choice = (torch.cat(parts, dim=1) for parts in zip(*each, strict=True))
    parent = choice // tokens.shape[2]
    return _Growth(parent, tokens.flatten(1).gather(1, choice), best, finished.gather(1, parent))


def _most_probable(
    log_probs: Float[Tensor, "batch parent vocab"], count: int
) -> tuple[Float[Tensor, "batch parent some"], Int[Tensor, "batch parent some"]]:
    """Some tokens of each hypothesis, the `count` most probable among them: their log-probabilities and ids.

    The best of a vocabulary are in the blocks of tokens with the best maxima. Maxima are found several times as fast
    as the best few, so only the blocks that count are handed on.
    """
    vocab = log_probs.shape[2]
    ids = torch.arange(vocab, device=log_probs.device).expand(log_probs.shape)
    if log_probs.numel() < _MANY_SCORES or vocab <= (count + 1) * _BLOCK:
        return log_probs, ids
    whole = vocab - vocab % _BLOCK
    blocks = log_probs[:, :, :whole].unflatten(2, (-1, _BLOCK))
    best = blocks.amax(dim=3).topk(count).indices[..., None]
    found = [blocks.take_along_dim(best, dim=2).flatten(2), log_probs[:, :, whole:]]
    return torch.cat(found, dim=2), torch.cat(
        [(best * _BLOCK + ids[0, 0, :_BLOCK]).flatten(2), ids[:, :, whole:]], dim=2
    )


def _best(scores: Float[Tensor, "batch some"], count: int) -> tuple[Float[Tensor, "batch _"], Int[Tensor, "batch _"]]:
    """The `count` best and their places; one is found faster by looking for one."""
    return scores.max(dim=1, keepdim=True) if count == 1 else scores.topk(count)


def _is_identity(parents: Int[Tensor, "batch beam"], previous: int) -> bool:
    """Whether every hypothesis goes on in its own slot, as always in greedy search."""
    return torch.equal(parents, torch.arange(previous, device=parents.device).expand(len(parents), -1))


def _read_off(trace: list[_Record], *, batch: int, n_best: int) -> list[list[Hypothesis]]:
    """Choose the best ended hypotheses of each sentence and follow their back-pointers to the start."""
    if not trace:
        return []
    steps, beam = len(trace), trace[-1].scores.shape[1]
    scores = trace[-1].scores.new_full((batch, steps, beam), -math.inf)
    log_probs = torch.empty_like(scores)
    finished = torch.zeros_like(scores, dtype=torch.bool)
    for t, (rows, growth, ended_scores, _) in enumerate(trace):
        width = ended_scores.shape[1]
        scores[rows, t, :width] = ended_scores
        log_probs[rows, t, :width] = growth.log_probs
        finished[rows, t, :width] = growth.finished
    # Stable: of equal scores the earlier comes first, however many steps the rest of the batch took.
    ranked, places = (x[:, :n_best] for x in scores.flatten(1).sort(dim=1, descending=True, stable=True))
    last = places // beam
    tokens, sums, weights = _follow(trace, last, places % beam)

    columns = (
        ranked,
        log_probs.flatten(1).gather(1, places),
        finished.flatten(1).gather(1, places),
        last,
        tokens,
        sums.diff(dim=2, prepend=torch.zeros_like(sums[:, :, :1])).clamp(max=0.0),  # above 0 by rounding only
    )
    outputs: list[list[Hypothesis]] = []
    for i, sentence in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
        outputs.append(
            [
                Hypothesis(
                    ids[:n], score, log_prob, None if weights is None else weights[i, j, : n + 1], done, each[: n + 1]
                )
                for j, (score, log_prob, done, n, ids, each) in enumerate(zip(*sentence, strict=True))
                if score > -math.inf
            ]
        )
    return outputs


def _follow(
    trace: list[_Record], last: Int[Tensor, "batch n_best"], slots: Int[Tensor, "batch n_best"]
) -> tuple[
    Int[Tensor, "batch n_best steps"],
    Float[Tensor, "batch n_best steps"],
    Float[Tensor, "batch n_best steps source"] | None,
]:
    """Of the hypotheses in `slots` at step `last`: tokens, log-probability up to each, attention.

    What stands after that step is arbitrary.
    """
    tokens = slots.new_zeros(*slots.shape, len(trace))
    sums = trace[0].growth.log_probs.new_zeros(tokens.shape)
    first, final = trace[0].weights, trace[-1].weights
    if first is not None and final is not None and first.shape[-1] != final.shape[-1]:
        raise ValueError(
            "the decoder's attention grows with its output, as a language model's; pass need_weights=False"
        )
    weights = None if first is None else first.new_zeros(*tokens.shape, first.shape[-1])
    for t in reversed(range(len(trace))):
        rows, growth, _, step_weights = trace[t]
        # The clamp is for places that no hypothesis holds (a sentence with fewer than n_best outputs).
        slot = slots[rows].clamp(max=growth.parents.shape[1] - 1)
        parent = growth.parents.gather(1, slot)
        tokens[rows, :, t] = growth.tokens.gather(1, slot)
        sums[rows, :, t] = growth.log_probs.gather(1, slot)
        if weights is not None and step_weights is not None:
            weights[rows, :, t] = step_weights.take_along_dim(parent[:, :, None], dim=1)
        slots[rows] = torch.where(t <= last[rows], parent, slot)
    return tokens, sums, weights

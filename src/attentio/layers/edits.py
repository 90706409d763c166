"""The edits of a string transducer: what may be said and read at each source position, and all ways to do so, summed.

A pointer stands at a source position and moves one position at a time:

    INSERT y        says y and stays
    SUBSTITUTE y    says y and goes on
    COPY            says what stands at the position, if the target's vocabulary has it, and goes on
    DELETE          goes on and says nothing

At the last position, the end of the source, it can only INSERT, and there alone the end of the target is said, so that
no source token is left unread. With d the log-probability of DELETE, i of inserting the token that is said and s of
saying it and going on, the pointer

    passes j before token t is said     v_t(j) = log(exp a_t(j) + exp(v_t(j-1) + d_t(j-1)))
    is at j after it                    a_t+1(j) = log(exp(v_t(j) + i_t(j)) + exp(v_t(j-1) + s_t(j-1)))

so that p(y_t | y_<t, x) is the sum over j of exp a_t+1(j), where a_t is normalised. This is Ristad and Yianilos's edit
distance with probabilities that depend on all of the source and of what has been said.

References: Ristad and Yianilos 1998, "Learning String-Edit Distance"; the edits are those of Makarov and Clematide
2020, "CLUZH at SIGMORPHON 2020 Shared Task on Multilingual Grapheme-to-Phoneme Conversion"; the sum is as in Graves
2012, "Sequence Transduction with Recurrent Neural Networks".
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from attentio.layers.emission import NUMBERS_AT_A_TIME, Looking
from attentio.layers.linear import linear
from attentio.layers.transitions import FAR, precise


class Tape(NamedTuple):
    """A source as the edits see it.

    copies: the target's id of each token, -1 where its vocabulary has none.
    """

    keys: Float[Tensor, "batch source hidden"]
    lengths: Int[Tensor, "batch"]
    copies: Int[Tensor, "batch source"]


class Edits(NamedTuple):
    """The layer that scores all edits: INSERT of each token, SUBSTITUTE of each, DELETE, COPY. end: the token."""

    weight: Float[Tensor, "edits hidden"]
    bias: Float[Tensor, "edits"]
    end: int

    @property
    def vocabulary(self) -> int:
        return len(self.bias) // 2 - 1

    def possible(self, tape: Tape) -> Bool[Tensor, "batch source edits"]:
        """Which edits there are at each position; at padding as inside of the source."""
        edit = torch.arange(len(self.bias), device=self.bias.device)
        at_last = torch.arange(tape.keys.shape[1], device=edit.device) == tape.lengths[:, None] - 1
        inside = (edit != self.end) & (edit != self.vocabulary + self.end)
        copies = (tape.copies >= 0)[:, :, None] | (edit != len(edit) - 1)
        return torch.where(at_last[:, :, None], edit < self.vocabulary, inside & copies)


class Saying(NamedTuple):
    """Log-probabilities at each source position, FAR for what is not possible.

    delete: of DELETE. stay, go_on: of saying the token that is said and staying there, or going on.
    """

    delete: Float[Tensor, "*batch source"]
    stay: Float[Tensor, "*batch source"]
    go_on: Float[Tensor, "*batch source"]


class Spoken(NamedTuple):
    """What may be said next: log p(y) for every y; exp v; the normaliser of each position's edits.

    speaking: the probability that the next token is said at each position, before it is known which.
    """

    log_probs: Float[Tensor, "rows vocab"]
    passed: Float[Tensor, "rows source"]
    speaking: Float[Tensor, "rows source"]
    normalisers: Float[Tensor, "rows source"]


def saying(looking: Looking, edits: Edits, tape: Tape, said: Int[Tensor, "rows"]) -> Saying:
    """The edits that say `said`, and DELETE. Logits of a few rows exist at a time; a backward pass makes them again."""
    possible = edits.possible(tape)

    def block(queries: Tensor, keys: Tensor, sentence: Tensor, said: Tensor) -> Tensor:
        logits = _logits(Looking(queries, keys, sentence), edits, possible[sentence])
        chosen = torch.cat([_that_say(said, edits), torch.full_like(said, len(edits.bias) - 2)[:, None]], dim=1)
        insert, substitute, copy, delete = (
            logits.take_along_dim(chosen[:, None], dim=2) - logits.logsumexp(2, keepdim=True)
        ).unbind(2)
        copy = copy.where(tape.copies[sentence] == said[:, None], FAR)
        return torch.stack([delete, insert, _added(substitute, copy)])

    rows = _rows_at_a_time(looking, edits)
    if len(said) <= rows:
        return Saying(*block(*looking, said))
    queries, keys, sentence = looking
    parts = zip(queries.split(rows), sentence.split(rows), said.split(rows), strict=True)
    found = [checkpoint(block, some, keys, whose, y, use_reentrant=False) for some, whose, y in parts]
    return Saying(*torch.cat(found, dim=1))


def said_before(
    looking: Looking,
    edits: Edits,
    tape: Tape,
    said: Int[Tensor, "rows"],
    normalisers: Float[Tensor, "rows source"],
) -> tuple[Float[Tensor, "rows source"], Float[Tensor, "rows source"]]:
    """`stay` and `go_on` of `saying` where `normalisers` were made by `speak`: no other edit's logit is needed."""
    chosen, sentence = _that_say(said, edits), looking.sentence[:, None, None]
    position = torch.arange(normalisers.shape[1], device=said.device)[:, None]
    logits = precise(looking.features() @ edits.weight[chosen].mT) + edits.bias[chosen][:, None]
    logits = logits.where(edits.possible(tape)[sentence, position, chosen[:, None]], FAR)
    insert, substitute, copy = (logits - normalisers[:, :, None]).unbind(2)
    copy = copy.where(tape.copies[looking.sentence] == said[:, None], FAR)
    return insert, _added(substitute, copy)


def speak(looking: Looking, edits: Edits, tape: Tape, arrived: Float[Tensor, "rows source"]) -> Spoken:
    """What may be said next, of where the pointer is after the last token: a, normalised."""
    possible, vocabulary = edits.possible(tape), edits.vocabulary
    rows, found = _rows_at_a_time(looking, edits), []
    for queries, sentence, before in zip(
        looking.queries.split(rows), looking.sentence.split(rows), arrived.split(rows), strict=True
    ):
        logits = _logits(Looking(queries, looking.keys, sentence), edits, possible[sentence])
        normalisers = logits.logsumexp(2)
        delete = logits[:, :, -2] - normalisers
        passed = passing(before, delete)
        weights = passed - normalisers
        insert, substitute = (logits[:, :, : 2 * vocabulary] + weights[:, :, None]).logsumexp(1).split(vocabulary, 1)
        copies = tape.copies[sentence].clamp(min=0)
        copied = torch.zeros_like(insert).scatter_add(1, copies, (logits[:, :, -1] + weights).exp())
        copied = torch.where(copied > 0, copied.clamp(min=torch.finfo(copied.dtype).tiny).log(), FAR)
        log_probs = _added(_added(insert, substitute), copied)
        found.append((log_probs, passed, -passed.exp() * delete.expm1(), normalisers))
    return Spoken(*map(torch.cat, zip(*found, strict=True)))


def passing(
    arrived: Float[Tensor, "*batch source"], delete: Float[Tensor, "*batch source"]
) -> Float[Tensor, "*batch source"]:
    """v of a and d: the pointer passes a position if it is there, or deletes all the way to it.

    Ways of 1, 2, 4, .. deletions are put together, so that no difference of great sums is taken.
    """
    passed, way, reach = arrived, _shifted(delete, 1, 0.0), 1
    while reach < arrived.shape[-1]:
        passed = _added(passed, _shifted(passed, reach, FAR) + way)
        way, reach = way + _shifted(way, reach, 0.0), 2 * reach
    return passed


def arriving(
    passed: Float[Tensor, "*batch source"], stay: Float[Tensor, "*batch source"], go_on: Float[Tensor, "*batch source"]
) -> tuple[Float[Tensor, "*batch source"], Float[Tensor, "*batch"]]:
    """a after a token, normalised, and the token's log-probability."""
    joint = _added(passed + stay, _shifted(passed + go_on, 1, FAR))
    log_prob = joint.logsumexp(-1)
    return joint - log_prob[..., None], log_prob


def _added(one: Float[Tensor, "*axes"], other: Float[Tensor, "*axes"]) -> Float[Tensor, "*axes"]:
    """log(exp one + exp other); the second derivative of `torch.logaddexp` is NaN where they are far apart."""
    return torch.stack([one, other]).logsumexp(0)


def _shifted(numbers: Float[Tensor, "*batch source"], by: int, first: float) -> Float[Tensor, "*batch source"]:
    return F.pad(numbers[..., :-by], (by, 0), value=first)


def _logits(
    looking: Looking, edits: Edits, possible: Bool[Tensor, "rows source edits"]
) -> Float[Tensor, "rows source edits"]:
    return precise(linear(looking.features(), edits.weight, edits.bias)).where(possible, FAR)


def _that_say(said: Int[Tensor, "rows"], edits: Edits) -> Int[Tensor, "rows 3"]:
    """INSERT and SUBSTITUTE of the token that is said, and COPY."""
    return torch.stack([said, edits.vocabulary + said, torch.full_like(said, len(edits.bias) - 1)], dim=1)


def _rows_at_a_time(looking: Looking, edits: Edits) -> int:
    return max(1, NUMBERS_AT_A_TIME // (looking.keys.shape[1] * sum(edits.weight.shape)))

"""What was sampled for many sentences at once, sentence by sentence; and the random numbers of each."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from attentio.decoding.sampling import Sampled
from attentio.decoding.search import Hypothesis, gnmt_penalty


def generator_of(seed: int, number: int) -> torch.Generator:
    """The random numbers of sentence `number`, on the CPU, so that a seed means the same on every device."""
    mixed = np.random.SeedSequence([seed, number]).generate_state(1)
    return torch.Generator().manual_seed(int(mixed[0]))


def joined(steps: Sequence[Sampled], limits: Int[Tensor, "batch"], *, length_penalty: float) -> list[list[Hypothesis]]:
    """The hypotheses of each sentence, in the order of the beam axis.

    limits: what `sample` was given; a hypothesis that had to end there is not finished. length_penalty: as in `search`.
    """
    tokens = torch.stack([step.tokens for step in steps], dim=2)
    log_probs = torch.stack([step.log_probs for step in steps], dim=2)
    lengths = torch.stack([step.live for step in steps], dim=2).sum(2)  # the end counted
    weights = [step.weights for step in steps if step.weights is not None]
    attention = torch.stack(weights, dim=2) if weights else None
    found: list[list[Hypothesis]] = []
    for i, limit in enumerate(limits.tolist()):
        found.append([])
        rows = zip(tokens[i].tolist(), log_probs[i].tolist(), lengths[i].tolist(), strict=True)
        for j, (ids, each, length) in enumerate(rows):
            log_prob = sum(each[:length])
            score = log_prob / gnmt_penalty(length, length_penalty)
            seen = None if attention is None else attention[i, j, :length]
            found[-1].append(Hypothesis(ids[: length - 1], score, log_prob, seen, length <= limit, each[:length]))
    return found

"""Quality by source length: does the model hold on long inputs?"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from attentio.evaluation.metrics import References, Score, Units, score


@dataclass(frozen=True, slots=True)
class LengthBin:
    """The sequences whose source has from `shortest` to `longest` tokens, both included, and their score."""

    shortest: int
    longest: int
    count: int
    score: Score


def by_source_length(
    source_lengths: Sequence[int],
    hypotheses: Sequence[str],
    references: References,
    *,
    metric: str,
    units: Units = "words",
    bins: int = 6,
    bleu_tokenize: str = "13a",
) -> list[LengthBin]:
    """Score the outputs apart by the length of their sources, shortest first.

    The bins hold nearly equal numbers of sequences; sequences of one length never part, so there may be
    fewer bins than asked for. The other arguments are those of `score`.

    Raises:
        AttentioError: as `score`.
        ValueError: source_lengths and hypotheses differ in number, or bins is below 1.

    Reference: Bahdanau et al. 2014, figure 2 (which draws BLEU over sliding lengths; the bins are ours).
    """
    if len(source_lengths) != len(hypotheses):
        raise ValueError(
            f"source_lengths must hold one length a hypothesis: expected {len(hypotheses)}, got {len(source_lengths)}"
        )
    members: defaultdict[int, list[int]] = defaultdict(list)
    bin_of_length = _bin_of_length(source_lengths, bins)
    for index, length in enumerate(source_lengths):
        members[bin_of_length[length]].append(index)
    return [
        LengthBin(
            shortest=min(source_lengths[i] for i in inside),
            longest=max(source_lengths[i] for i in inside),
            count=len(inside),
            score=score(
                [hypotheses[i] for i in inside],
                [references[i] for i in inside],
                metrics=[metric],
                units=units,
                bleu_tokenize=bleu_tokenize,
            )[0],
        )
        for _, inside in sorted(members.items())
    ]


def _bin_of_length(source_lengths: Sequence[int], bins: int) -> dict[int, int]:
    """A length goes where the middle of its sequences, in order of length, falls among equal shares."""
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    chosen: dict[int, int] = {}
    shorter = 0
    for length, count in sorted(Counter(source_lengths).items()):
        chosen[length] = (2 * shorter + count) * bins // (2 * len(source_lengths))
        shorter += count
    return chosen

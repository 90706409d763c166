"""Quality by how often the rarest symbol of a text was seen in training: what is seldom seen is seldom learnt."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from attentio.evaluation.metrics import References, Score, Units, score


@dataclass(frozen=True, slots=True)
class FrequencyBin:
    """The sequences whose rarest symbol on one side was in the training data from `fewest` to `most` times.

    symbol: what is counted, "source character", "target word", .. fewest, most: among these sequences, both included.
    """

    symbol: str
    fewest: int
    most: int
    count: int
    score: Score


def times_of_rarest(text: str, times: Mapping[str, int], split: Callable[[str], Sequence[str]]) -> int:
    """How often the rarest symbol of a text was seen; 0 where one of them never was, and for a text without any."""
    return min((times.get(symbol, 0) for symbol in split(text)), default=0)


def by_frequency(
    times: Sequence[int],
    hypotheses: Sequence[str],
    references: References,
    *,
    symbol: str,
    metric: str,
    units: Units = "words",
    bleu_tokenize: str = "13a",
) -> list[FrequencyBin]:
    """Score the outputs apart by the times of their rarest symbol, the rarest first: 0, 1 to 9, 10 to 99, ..

    times: of each sequence, as `times_of_rarest` counts them. The other arguments are those of `metrics.score`.

    Raises:
        AttentioError: as `score`.
    """
    members: defaultdict[int, list[int]] = defaultdict(list)
    for index, count in enumerate(times):
        members[len(str(count)) if count else 0].append(index)
    how: dict[str, Any] = {"metrics": [metric], "units": units, "bleu_tokenize": bleu_tokenize, "margins": True}
    return [
        FrequencyBin(
            symbol=symbol,
            fewest=min(times[i] for i in inside),
            most=max(times[i] for i in inside),
            count=len(inside),
            score=score([hypotheses[i] for i in inside], [references[i] for i in inside], **how)[0],
        )
        for _, inside in sorted(members.items())
    ]

"""Which token is said for which: the edits from the references to the outputs, counted."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from rapidfuzz.distance import Levenshtein

from attentio.evaluation.metrics import References, Units, nearest, tokens_of


class Confusion(NamedTuple):
    """`output` was said so many `times` where `reference` was right, which was so `of` times.

    reference: empty for a token too much. output: empty for a token left out. of: 0 for a token too much.
    """

    reference: str
    output: str
    times: int
    of: int

    def __str__(self) -> str:
        reference, output = (token.replace(" ", "␣") for token in (self.reference, self.output))
        if not reference:
            return f"{output} too much ({self.times:,})"
        if not output:
            return f"nothing for {reference} ({self.times:,} of {self.of:,})"
        return f"{output} for {reference} ({self.times:,} of {self.of:,})"


def confusions(hypotheses: Sequence[str], references: References, *, units: Units = "words") -> list[Confusion]:
    """All of them, the most frequent first; each output beside its nearest reference, with the fewest edits.

    The arguments are those of `metrics.score`.
    """
    split = tokens_of(units)
    found: Counter[tuple[str, str]] = Counter()
    right: Counter[str] = Counter()
    for hypothesis, of_one in zip(hypotheses, references, strict=True):
        output = split(hypothesis)
        _, reference = nearest(hypothesis, of_one, split)
        right.update(reference)
        for edit in Levenshtein.editops(reference, output):
            old = "" if edit.tag == "insert" else reference[edit.src_pos]
            found[old, "" if edit.tag == "delete" else output[edit.dest_pos]] += 1
    # Equally frequent ones in the order of their tokens, so that the same outputs give the same list.
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return [Confusion(old, new, count, right[old]) for (old, new), count in ordered]

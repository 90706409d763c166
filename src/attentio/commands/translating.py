"""What `translate` writes for a line: its output, a list of the best, or JSON; and what it tells of all in the end."""

import json
import math
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from attentio.commands.unknown import UnknownTexts
from attentio.commands.words import said

if TYPE_CHECKING:
    from attentio.evaluation.calibration import Calibration
    from attentio.runs.outputs import Scored, Translation


class Doubt(NamedTuple):
    """When an output is doubtful: where the calibrated confidence that it is right is below `least`."""

    calibration: "Calibration"
    least: float

    def of(self, one: "Translation") -> dict[str, Any]:
        """What there is to be said of an output."""
        confidence = self.calibration.confidence(one.log_prob)
        return {"confidence": confidence, "doubtful": confidence < self.least}


class Tally:
    """What of the outputs the lines do not tell: counted as they come, told on standard error in the end.

    n_best: how many are asked for of a line. doubt: when one is doubtful; None where that is not asked.
    """

    def __init__(self, n_best: int, doubt: Doubt | None) -> None:
        self.n_best, self.doubt, self.unknown = n_best, doubt, UnknownTexts()
        self.outputs = self.cut = self.few = self.blank = self.doubtful = 0

    def note(self, number: int, found: "Sequence[Translation]") -> None:
        """Count what was found for line `number`; what the model does not know there is told at once."""
        if not found:
            self.blank += 1
            return
        self.unknown.note(found[0].unknown, f"line {number}")
        self.outputs += len(found)
        self.cut += sum(not one.finished for one in found)
        self.few += len(found) < self.n_best
        self.doubtful += self.doubt is not None and self.doubt.of(found[0])["doubtful"]

    def tell(self, *, length_limit: str) -> None:
        """length_limit: how many tokens an output may have, in words."""
        self.unknown.end()
        told = []
        if self.doubt:
            told.append(f"doubtful lines, of confidence below {self.doubt.least:g}: {self.doubtful:,}")
        if self.blank:
            told.append(f"lines that are blank or were skipped, and so are their outputs: {self.blank:,}")
        if self.cut:
            told.append(
                f"{self.cut:,} of {self.outputs:,} outputs are cut off. An output may have {length_limit}; "
                f"--max-length-ratio lets it have more, at training --decoding.max_length_ratio"
            )
        if self.few:
            told.append(
                f"{self.few:,} lines have fewer than {self.n_best} outputs that differ; a larger --beam may find more"
            )
        for one in told:
            print(said(one), file=sys.stderr)


def written(
    number: int, source: str, found: "Sequence[Translation]", *, listed: bool, as_json: bool, doubt: Doubt | None
) -> Iterator[str]:
    """The lines for line `number`, for which nothing is found where it is empty.

    listed: all outputs, as a table. doubt: doubtful ones are marked, after a tab.
    """
    doubts = [{} if doubt is None else doubt.of(one) for one in found]
    if as_json:
        outputs = [_told(one) | doubtful for one, doubtful in zip(found, doubts, strict=True)]
        told = {"line": number, "source": source, "outputs": outputs}
        yield json.dumps(told, ensure_ascii=False)
        return
    # A model trained on JSON can say a line feed; one line in stays one line out.
    texts = [
        one.text.replace("\n", " ") + (f"\tdoubtful {each['confidence']:.2f}" if each.get("doubtful") else "")
        for one, each in zip(found, doubts, strict=True)
    ]
    if listed:
        for one, text in zip(found, texts, strict=True):
            yield f"{number}\t{one.score:.4f}\t{text}"
    else:
        yield texts[0] if texts else ""


def tokens_told(one: "Scored | Translation") -> list[dict[str, Any]]:
    """Each token with its probability given those before it, for JSON."""
    pairs = zip(one.tokens, one.log_probs, strict=True)
    return [{"token": token, "probability": math.exp(log_prob)} for token, log_prob in pairs]


def _told(one: "Translation") -> dict[str, Any]:
    kept = {name: getattr(one, name) for name in ("text", "score", "log_prob", "finished")}
    tokens = tokens_told(one)
    if one.copied is not None:
        tokens = [{**token, "copied": share} for token, share in zip(tokens, one.copied, strict=True)]
    return {**kept, "tokens": tokens}

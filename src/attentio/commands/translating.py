"""What `translate` writes for a line: its output, a list of the best, or JSON."""

import json
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

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

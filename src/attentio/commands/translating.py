"""What `translate` writes for a line: its output, a list of the best, or JSON."""

import json
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attentio.runs.outputs import Scored, Translation


def written(number: int, source: str, found: "Sequence[Translation]", *, listed: bool, as_json: bool) -> Iterator[str]:
    """The lines for line `number`, for which nothing is found where it is empty. listed: all outputs, as a table."""
    if as_json:
        told = {"line": number, "source": source, "outputs": [_told(one) for one in found]}
        yield json.dumps(told, ensure_ascii=False)
        return
    # A model trained on JSON can say a line feed; one line in stays one line out.
    texts = [one.text.replace("\n", " ") for one in found]
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
    return {**kept, "tokens": tokens_told(one)}

"""A few texts to try a run with: some of its dev set, which training and bundles write down."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from attentio.config.schema import Config
from attentio.data.part import Part, source_of
from attentio.errors import AttentioError
from attentio.files import read_json
from attentio.runs.card import read_card
from attentio.runs.tasks import task_of

MOST = 4
LONGEST = 60
"""Characters of an example."""
_LOOKED_AT = 200
"""Items of dev among which they are found."""

_ENGLISH_AND_KOREAN = (
    "The old man took his hat and left the room.",
    "오늘은 날씨가 참 좋네요.",
    "Prince Andrew looked at her.",
)
_WELL_KNOWN = {
    "cmudict:train": ("attention", "transformer", "kimchi", "pronunciation"),
    "dates:train": ("14 March 2026", "Saturday, March 14, 2026", "2026년 3월 14일 토요일", "14/03/26"),
    "korean:train": ("독립문앞에서", "국물", "같이", "좋다"),
    "english-korean.train.txt": _ENGLISH_AND_KOREAN,
}
"""Of the models that come along, and of what is trained on the same, by `data.train`."""


def examples_of(config: Config, dev: Part) -> list[str]:
    """The first short texts of dev, each as a model of this kind is asked."""
    texts = (source_of(item) for item in islice(dev.items, _LOOKED_AT))
    return _few(task_of(config).to_try(text) for text in texts if text.strip())


def examples(path: Path, config: Config) -> list[str]:
    """What to try the run at this path with; nothing where nobody wrote any down.

    They are not looked for in the data themselves: a run that was copied may name any file of this machine.
    """
    if config.data.train in _WELL_KNOWN:
        return [task_of(config).to_try(text) for text in _WELL_KNOWN[config.data.train]]
    try:
        known = read_json(path / "data.json") if path.is_dir() else read_card(path)
    except AttentioError:
        return []
    written: Any = known.get("examples")
    return _few(text for text in written if isinstance(text, str)) if isinstance(written, list) else []


def _few(texts: Iterable[str]) -> list[str]:
    short = dict.fromkeys(text for text in texts if 0 < len(text) <= LONGEST and "\n" not in text)
    return list(short)[:MOST]

"""What a run was trained on: whether other data are the same, and how often symbols stood in them."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from attentio.config.schema import Config, SideConfig
from attentio.data.part import Part, hold_out, read_part
from attentio.data.rows import names_embedded
from attentio.data.spool import TextsOf
from attentio.data.tags import tagged
from attentio.errors import AttentioError
from attentio.files import read_json
from attentio.text.features import WithoutFeatures

MOST_BYTES = 2**27
"""Of training data that are read once more to be counted: seconds."""


def trained_on(config: Config, part: Part, run: Path) -> bool:
    """Whether a part of data is what a run was trained on, by its name or by its content."""
    named = bool(config.data.train) and part.name == config.data.train
    return named or _digest(run) == part.facts()["sha256"]


class SeenSymbols(NamedTuple):
    """Of one side. symbol: what is counted. split: a text into such. times: that each was seen."""

    symbol: str
    split: Callable[[str], Sequence[str]]
    times: Counter[str]


def seen_symbols(config: Config, run: Path) -> tuple[SeenSymbols, SeenSymbols]:
    """Of sources and of targets, counted in the training data, which are read once more.

    Characters are counted where they are the tokens, otherwise words between white space.

    Raises AttentioError where the training data are not there any more, have changed, or are too large for it.
    """
    spec = config.data.train
    if not spec:
        raise AttentioError(f"{run}: it is not known what it was trained on")
    if _digest(run) is None and not names_embedded(spec):
        raise AttentioError(f"the run does not say which {spec} it was trained on")
    files = [file for one in tagged(spec).values() or [spec] for file in one.split(",")]
    if spec.startswith("hub:") or sum(map(_size, files)) > MOST_BYTES:
        raise AttentioError(f"{spec} is too large to be read once more")
    part = read_part(config, spec)
    if config.data.dev is None:
        part, _ = hold_out(part)
    if _digest(run) not in (None, part.facts()["sha256"]):
        raise AttentioError(f"{spec} has changed since the training")
    text, items = config.text, WithoutFeatures(part.items) if part.featured else part.items
    return (
        _counted(TextsOf(items, 0), text.source, "source character", "source word"),
        _counted(TextsOf(items, 1), text.of_target, "target character", "target word"),
    )


def _counted(texts: Iterable[str], side: SideConfig, character: str, word: str) -> SeenSymbols:
    split: Callable[[str], Sequence[str]] = list if side.tokenizer == "char" else str.split
    times = Counter(symbol for text in texts for symbol in split(text))
    return SeenSymbols(character if side.tokenizer == "char" else word, split, times)


def _digest(run: Path) -> str | None:
    """The SHA-256 that a run directory keeps of its training data; None where there is none."""
    path = run / "data.json"
    train = read_json(path).get("train") if path.is_file() else None
    return train.get("sha256") if isinstance(train, dict) else None


def _size(file: str) -> int:
    path = Path(file)
    return 0 if names_embedded(file) or not path.is_file() else path.stat().st_size

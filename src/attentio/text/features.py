"""Features of a source: what its output is to be besides what its text says, such as V;PST;3 or a language.

A source with features is one string: its text, a tab, and the features with semicolons between them. The model reads
them as further tokens behind those of the text, so that attention can look at each.
"""

from collections.abc import Iterable, Iterator, Sequence

from attentio.config.schema import Normalize
from attentio.errors import AttentioError
from attentio.text.normal import normalized

BETWEEN = "\t"
"""The text and its features."""

_REMEDY = "write text, one tab, features, such as V;PST"


def parted(source: str) -> tuple[str, str]:
    """The text and the features of a source; "" where it has none."""
    text, tab, features = source.rpartition(BETWEEN)
    return (text, features) if tab else (source, "")


def listed(features: str) -> list[str]:
    """The features, one by one."""
    return [feature for part in features.split(";") if (feature := part.strip())]


def joined(text: str, features: str) -> str:
    """A source of a text and its features, as it is read wherever it comes from."""
    return f"{text}{BETWEEN}{';'.join(listed(features))}"


def read_featured(source: str, how: Normalize) -> str:
    """A source with features as `text.normalize` has it read; AttentioError for one without."""
    text, features = (normalized(each, how) for each in parted(source))
    _check(text, features, repr(source[:40]))
    return joined(text, features)


def check_featured(line: str, where: str) -> None:
    """AttentioError for a line, to be translated, of anything but a text, one tab and features."""
    if line.count(BETWEEN) > 1:
        raise AttentioError(f"{where}: {line.count(BETWEEN)} tabs where one is expected; {_REMEDY}")
    _check(*parted(line), where)


def check_different(features: str, where: str) -> None:
    """AttentioError for a feature that is there twice."""
    found = listed(features)
    if repeated := next((feature for feature in found if found.count(feature) > 1), None):
        raise AttentioError(f"{where}: the feature {repeated!r} is there twice; leave one")


def _check(text: str, features: str, where: str) -> None:
    if not listed(features):
        raise AttentioError(f"{where}: no features, which the model is trained with; {_REMEDY}")
    if not text.strip():
        raise AttentioError(f"{where}: no text before the features; {_REMEDY}")
    check_different(features, where)


class WithoutFeatures:
    """Pairs whose sources are their texts alone, to be gone through as often as needed."""

    def __init__(self, pairs: Iterable[Sequence[str]]) -> None:
        self.pairs = pairs

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return ((parted(source)[0], target) for source, target in self.pairs)


class FeaturesOf:
    """The features of the sources of pairs, with spaces between them, to be gone through as often as needed."""

    def __init__(self, pairs: Iterable[Sequence[str]]) -> None:
        self.pairs = pairs

    def __iter__(self) -> Iterator[str]:
        return (" ".join(listed(parted(source)[1])) for source, _ in self.pairs)

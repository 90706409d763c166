"""The errors a user sees: one line that names the file, line or argument, and what to do."""

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class AttentioError(ValueError):
    """A mistake that the person at the keyboard can mend.

    The commands print its message on one line, without a traceback, and exit with code 2.
    """


class GivenFunctionError(ValueError):
    """A function that the caller gave, as `score` or `normalize`, returned something else than it must."""


class MissingExtraError(AttentioError, ImportError):
    """A library is not installed that only a part of attentio needs."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """What a message about an unknown name ends with: "; did you mean 'NEAREST'?", or "" where nothing is near."""
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""


def harmless(text: str) -> str:
    """A text to be shown: names and content of files may hold what a terminal obeys."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Around the imports of what `pip install 'attentio[NAME]'` brings.

    Raises:
        MissingExtraError: one of them is not installed; the message names it and the extra.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "a library").partition(".")[0]
        raise MissingExtraError(
            f"{missing} is not installed, which this needs; install it with: pip install 'attentio[{name}]'"
        ) from error

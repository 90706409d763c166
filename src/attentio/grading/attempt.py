"""A call of the learner's code, which may raise anything."""

from collections.abc import Callable
from typing import TypeVar

from attentio.errors import AttentioError

Result = TypeVar("Result")


def attempt(call: Callable[[], Result], raised: list[Exception]) -> Result | None:
    """What the call returns; None where it raises, which is added to `raised`. attentio's own errors go on."""
    try:
        return call()
    except AttentioError:
        raise
    except SystemExit as left:
        raised.append(RuntimeError(f"it ended the process with exit code {left.code}"))
    except Exception as error:
        raised.append(error)
    return None

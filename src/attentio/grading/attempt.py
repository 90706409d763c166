"""A call of the learner's code, which may raise anything."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import jaxtyping
import numpy as np
import torch

from attentio.errors import AttentioError

Result = TypeVar("Result")

_LIBRARIES = tuple(
    str(Path(file).parent) + os.sep for file in (__file__, torch.__file__, np.__file__, jaxtyping.__file__)
)


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


def of_libraries(filename: str) -> bool:
    """Whether code of this file is the grader's or a library's, so not the learner's."""
    return filename.startswith(_LIBRARIES)

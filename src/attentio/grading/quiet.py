"""Somebody's code runs hundreds of times in a grade: what it prints and warns of is not shown."""

import contextlib
import io
import warnings
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Inside, nothing is printed, no warning shown and no gradient kept."""
    with torch.no_grad(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield

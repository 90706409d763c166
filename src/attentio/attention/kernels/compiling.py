"""How loops become machine code: by numba, once for each type of their arguments, kept on disk."""

import functools
import inspect
import os
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numba
from numba import njit, types

from attentio.attention.kernels.tanh import FASTMATH

_forked = False


def _note_fork() -> None:
    global _forked
    _forked = True


# GNU's OpenMP aborts a forked child that uses the threads its parent started. Windows forks nothing.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


def share_loops(threads: int) -> bool:
    """Whether parallel loops may be called: then up to so many threads share them from now on."""
    threads = min(threads, numba.config.NUMBA_NUM_THREADS)
    parallel = threads > 1 and not _forked
    if parallel:
        numba.set_num_threads(threads)
    return parallel


def array(number: Any, axes: int, layout: str = "C") -> Any:
    """An array's type. Layout "A" stands for any strides, "C" for rows that lie one behind the other."""
    return types.Array(number, axes, layout)


def compile_loops(function: Any, arguments: tuple[Any, ...], *, parallel: bool = False) -> Callable[..., None]:
    """`function` compiled for arguments of these types; parallel: threads share what it does over `prange`.

    Raises:
        Exception: of numba's choice, where it cannot.
    """
    if numba.config.DISABLE_JIT:
        raise RuntimeError("NUMBA_DISABLE_JIT is set")
    if parallel and numba.config.THREADING_LAYER == "default":
        numba.config.THREADING_LAYER = "omp"
    # Under a name of its own, by which the compilations kept on disk are told apart.
    plain = inspect.unwrap(function)  # numba cannot read the tests' checks of types, if any
    named = FunctionType(plain.__code__, plain.__globals__)
    named.__qualname__ = plain.__name__ + ("_parallel" if parallel else "_serial")
    compiled = functools.partial(
        njit, types.void(*arguments), fastmath=FASTMATH, error_model="numpy", parallel=parallel
    )
    try:
        return compiled(cache=True)(named)
    except RuntimeError:  # no place to keep it: compiled anew in each process
        return compiled(cache=False)(named)

"""Compiled loops for layers, once decoding has gone on long enough that they are worth loading."""

import functools
import warnings
from collections.abc import Callable
from typing import NamedTuple

import torch

from attentio.layers.unchanging import LOOPS, made_of_weights

_PATIENCE = 500
"""Steps of decoding that are taken without them. Loading numba takes as long; compiling, once on a machine, longer."""

_steps = 0


class Loops(NamedTuple):
    """See `kernels/block_step.py`."""

    block_step: Callable[..., None]
    linear: Callable[..., None]


def loops_for_another_step() -> Loops | None:
    """Counts a step; the loops if there have been enough."""
    global _steps
    _steps += _welcome()
    return loops()


def loops() -> Loops | None:
    """None as long as they are not worth loading, where they are not welcome, and where they cannot be had."""
    return _compiled() if _steps > _PATIENCE and _welcome() else None


def _welcome() -> bool:
    made = made_of_weights()
    return made is not None and bool(made[LOOPS])


def attention_loops() -> tuple[Callable[..., None], Callable[..., None]]:
    """self_attend and cross_attend, to be shared by as many threads as torch has."""
    from attentio.attention.kernels.compiling import share_loops
    from attentio.layers.kernels import block_step

    parallel = share_loops(torch.get_num_threads())
    return block_step.compiled_self_attend(parallel=parallel), block_step.compiled_cross_attend(parallel=parallel)


@functools.cache
def _compiled() -> Loops | None:
    try:
        from attentio.layers.kernels.block_step import compiled_block_step, compiled_linear

        attention_loops()
        return Loops(compiled_block_step(), compiled_linear())
    except Exception as error:
        warnings.warn(
            f"decoding runs in plain torch, one sentence at a time half as fast: numba cannot compile here ({error!r})",
            stacklevel=2,
        )
        return None

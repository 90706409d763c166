"""The compiled loops of a decoder's step."""

import functools
import warnings
from collections.abc import Callable

import torch

from attentio.layers.packed import Loops


@functools.cache
def compiled_loops() -> Loops | None:
    """Compiled in some fifteen seconds once on a machine, then loaded in less than one; None, with a warning, where
    numba cannot compile."""
    try:
        from attentio.layers.fused.kernel import compiled_block_step, compiled_linear

        attention_loops()
        return Loops(compiled_block_step(), compiled_linear())
    except Exception as error:
        warnings.warn(
            f"decoding runs in plain torch, one sentence at a time half as fast: numba cannot compile here ({error!r})",
            stacklevel=2,
        )
        return None


def attention_loops() -> tuple[Callable[..., None], Callable[..., None]]:
    """self_attend and cross_attend, to be shared by as many threads as torch has."""
    from attentio.attention.kernels.compiling import share_loops
    from attentio.layers.fused.kernel import compiled_cross_attend, compiled_self_attend

    parallel = share_loops(torch.get_num_threads())
    return compiled_self_attend(parallel=parallel), compiled_cross_attend(parallel=parallel)

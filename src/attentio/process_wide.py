"""Settings of the whole process, changed for a block: blocks of several threads may overlap in any order."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import torch
from torch.utils import checkpoint

_RECOMPUTING = "_checkpoint_without_reentrant_generator"


def while_needed(change: Callable[[], ExitStack]) -> Callable[[], AbstractContextManager[None]]:
    """A block in which a setting is changed: by the first that enters, and undone by the last that leaves.

    Were each to restore what it found, the last to leave could restore what another had changed.

    change: changes the setting; closing what it returns undoes that.
    """
    lock, users, undo = threading.Lock(), 0, ExitStack()

    @contextmanager
    def changed() -> Iterator[None]:
        nonlocal users, undo
        with lock:
            if users == 0:
                undo = change()
            users += 1
        try:
            yield
        finally:
            with lock:
                users -= 1
                if users == 0:
                    undo.close()

    return changed


def _run_as_written() -> ExitStack:
    undo = ExitStack()
    # Without this module nothing has been compiled, and importing it takes seconds.
    if "torch._dynamo" in sys.modules:
        undo.enter_context(torch.compiler.set_stance("force_eager"))
    undo.callback(setattr, checkpoint, _RECOMPUTING, getattr(checkpoint, _RECOMPUTING))
    setattr(checkpoint, _RECOMPUTING, _keeping)
    return undo


def _keeping(*_given: object, **_named: object) -> Iterator[None]:
    """In place of what has torch compute activations again in the backward pass, around the forward pass: nothing."""
    yield


as_written = while_needed(_run_as_written)
"""What `torch.compile` compiled runs as written: it would be compiled anew for every new shape and mode. So does what
checkpoints its activations: computed again outside of the block it would be observed twice, or under other modes."""

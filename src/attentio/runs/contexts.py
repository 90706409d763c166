"""The context of each attention of a run's model, on its way to what reads it: to be changed there, or recorded."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import get_ident
from typing import Any

from torch import nn

from attentio.attention.call import Attended
from attentio.layers.coverage import CoverageAttention
from attentio.layers.global_attention import GlobalAttention
from attentio.layers.local import LocalAttention
from attentio.layers.multihead import CrossAttention, SelfAttention
from attentio.layers.own_attention import OwnAttention

Change = Callable[[str, Attended], Attended]


def attentions(model: nn.Module) -> dict[str, int]:
    """How many heads each attention has, by its name."""
    multihead, one = SelfAttention | CrossAttention, GlobalAttention | LocalAttention | CoverageAttention | OwnAttention
    return {
        name: module.heads if isinstance(module, multihead) else 1
        for name, module in model.named_modules()
        if isinstance(module, multihead | one)
    }


@contextmanager
def through(model: nn.Module, change: Change) -> Iterator[None]:
    """In this block, and in this thread, what `change` makes of each attention's result goes on in its place.

    It is given the attention's name and its context [batch, q, heads x dv], heads side by side, before their output's
    projection; the weights are there in recurrent models where something else reads them too.
    """
    mine = get_ident()  # the same model may answer others meanwhile

    def before(name: str) -> Callable[..., Any]:
        def hook(module: nn.Module, given: tuple[Any, ...]) -> Any:
            return (change(name, Attended(given[0], None)).context, *given[1:]) if get_ident() == mine else None

        return hook

    def after(name: str) -> Callable[..., Any]:
        def hook(module: nn.Module, given: tuple[Any, ...], attended: Attended) -> Any:
            return change(name, attended) if get_ident() == mine else None

        return hook

    with ExitStack() as stack:
        for name in attentions(model):
            module = model.get_submodule(name)
            if isinstance(module, SelfAttention | CrossAttention):
                handle = module.output.register_forward_pre_hook(before(name))
            else:
                handle = module.register_forward_hook(after(name))
            stack.callback(handle.remove)
        yield

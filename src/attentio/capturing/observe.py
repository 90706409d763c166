"""Every attention of a model, seen while it runs: the low level that capture and the doctor share.

Nothing in the model is changed. `attend` has an observer; calls of torch's functions go through a mode that torch
offers for this (`observed_functions.py`); which module a call belongs to is read from the stack (`caller.py`).
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.attention import flex_attention

from attentio.attention.attend import observer
from attentio.attention.call import Attended, Call, Compute
from attentio.attention.compare import Dot, ScaledDot, ScoreFunction, dot_scale
from attentio.attention.entmax import NormalizeFunction
from attentio.capturing.caller import Caller, find_caller, given_on_the_stack, names_of
from attentio.capturing.observed_functions import ObservedFunctions
from attentio.capturing.record import SelfOrCross
from attentio.capturing.tracer import SoftmaxCall, WrittenOut
from attentio.devices import without_autocast
from attentio.errors import AttentioError
from attentio.layers.local import LocalAttention
from attentio.layers.own_attention import OwnAttention
from attentio.process_wide import as_written, while_needed

Api = Literal["attend", "sdpa", "flex", "multihead", "softmax"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Observed:
    """One call of one attention, after it has run. The tensors are the model's own: not to be changed.

    name: path of the module in the observed model, "" outside any submodule.
    inside: whether the model, or a module of it, was running: called from elsewhere it is not the model's attention.
    kind: whether a sequence attends to itself or to another: as the layer's class, arguments or name say.
    api: what was called. "softmax": attention written by hand.
    query, key, value: after projection, [batch, heads, n, d], grouped heads repeated. None where the scores cannot be
        made from them: "softmax", `OwnAttention`, and `LocalAttention`, where every query has a window of its own.
    score: attentio's comparison; None for the others, which take dot products times `scale`.
    normalize: what `attend` makes weights with; None for softmax.
    score_mod: what FlexAttention changes the scores with.
    mask: as given. A bool tensor: True = may attend; a float tensor is added to the scores; attentio's `Mask`;
        FlexAttention's BlockMask. Of "multihead", `attn_mask` and `key_padding_mask` as one such tensor. Tensors
        broadcast to [batch, heads, q, k].
    bias: what `attend` adds to the scores; four axes, which broadcast to [batch, heads, q, k].
    is_causal: query i sees the keys 0 to i, besides what mask says.
    dropout: probability that a weight was set to 0 in this call.
    context: the result, [batch, heads, q, dv]; of "multihead" after the output's projection, [batch, q, features].
    weights: only where the function returned or made them: [batch, heads, q, k]; [batch, 1, q, k] where averaged over
        heads. Those of torch's multihead attention are from after dropout, the others from before.
    unclear: whether sequences and heads may stand in another order than these axes say, in attention by hand.
    """

    name: str
    inside: bool
    kind: SelfOrCross
    api: Api
    query: Tensor | None = None
    key: Tensor | None = None
    value: Tensor | None = None
    score: ScoreFunction | None = None
    normalize: NormalizeFunction | None = None
    score_mod: Callable[..., Tensor] | None = None
    mask: Any = None
    bias: Tensor | None = None
    is_causal: bool = False
    scale: float | None = None
    dropout: float = 0.0
    context: Tensor
    weights: Tensor | None = None
    unclear: bool = False


OnCall = Callable[[Observed], None]

_FLEX_AS_WRITTEN = "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG"


@contextmanager
def observing(
    model: nn.Module,
    on_call: OnCall | None = None,
    *,
    on_written_out: Callable[[WrittenOut], None] | None = None,
    on_softmax: Callable[[SoftmaxCall], None] | None = None,
    on_not_understood: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """Calls `on_call` with every attention that `model` runs in this block, in this thread, after it has run.

    on_written_out, on_softmax: called with every product of weights and values in the model's own code, whatever axis
    the softmax was over, and with every softmax there.

    on_not_understood: called at the end with the name of each module of the model whose softmax met other numbers in a
    way that is no attention as it is understood here; not beside `on_written_out`.

    The model's results are its own. Meanwhile, torch's fused path past `nn.MultiheadAttention` is off, which rounds
    differently and writes zeros at padding, and what `torch.compile` compiled runs as written.
    What these functions compute themselves is not observed; an exception in them goes through to the model's caller.
    """
    names = names_of(model)

    def report(caller: Caller, api: Api, **seen: Any) -> None:
        if on_call is None:
            return
        if torch._C._are_functorch_transforms_active():
            raise AttentioError(
                "attention inside a transform of torch.func (vmap, grad, ..) cannot be looked into; "
                "look into the model itself, called with a batch"
            )
        with unobserved(), torch.no_grad(), without_autocast(seen["context"].device):
            inside = caller.module is not None
            on_call(Observed(name=caller.name, inside=inside, kind=caller.kind(seen), api=api, **seen))

    outer = observer.get()

    def observe(call: Call, compute: Compute) -> Attended:
        if outer is None:
            with unobserved():
                attended = compute(call)
        else:
            attended = outer(call, compute)
        _report_attend(find_caller(names), call, attended, report)
        return attended

    with ExitStack() as stack:
        stack.enter_context(_plain_torch())
        token = observer.set(observe)
        stack.callback(observer.reset, token)
        functions = ObservedFunctions(
            lambda: find_caller(names), lambda: given_on_the_stack(names), report, on_written_out, on_softmax
        )
        stack.enter_context(functions)
        yield
    if on_not_understood is not None:
        for name in functions.not_understood():
            on_not_understood(name)


@contextmanager
def unobserved() -> Iterator[None]:
    """What is computed in this block is nobody's attention."""
    token = observer.set(None)
    try:
        yield
    finally:
        observer.reset(token)


def _report_attend(caller: Caller, call: Call, attended: Attended, report: Callable[..., None]) -> None:
    if isinstance(caller.module, LocalAttention):
        # Its queries attend to windows of their own; over all the keys, only the layer knows the weights.
        again = {name: caller.locals[name] for name in ("state", "source", "positions")}
        with unobserved(), torch.no_grad():
            context, weights = caller.module.forward(**again, need_weights=True)
        assert weights is not None
        report(caller, "attend", context=context.unsqueeze(1), weights=weights.unsqueeze(1))
        return

    if isinstance(caller.module, OwnAttention):  # whose scores only its author knows
        report(caller, "attend", context=attended.context, weights=attended.weights)
        return
    report(
        caller,
        "attend",
        query=call.query,
        key=call.key,
        value=call.value,
        score=call.score,
        normalize=call.normalize,
        mask=call.mask,
        bias=call.bias,
        scale=dot_scale(call.score, call.query) if isinstance(call.score, Dot | ScaledDot) else None,
        dropout=call.dropout,
        context=attended.context,
        weights=attended.weights,
    )


def _make_plain() -> ExitStack:
    undo = ExitStack()
    undo.callback(torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled())
    torch.backends.mha.set_fastpath_enabled(False)
    # FlexAttention outside of torch.compile compiles itself, and would compile the observer with it.
    undo.callback(setattr, flex_attention, _FLEX_AS_WRITTEN, getattr(flex_attention, _FLEX_AS_WRITTEN, False))
    setattr(flex_attention, _FLEX_AS_WRITTEN, True)
    undo.enter_context(as_written())
    return undo


_plain_torch = while_needed(_make_plain)
"""torch computes attention by the functions that were called."""

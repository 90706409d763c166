"""Every attention of a model, seen while it runs: the low level that capture and the doctor share.

Nothing in the model is changed. `attend` has an observer; calls of torch's functions go through a mode that torch
offers for this (`observed_functions.py`); which module a call belongs to is read from the stack (`caller.py`).
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.attention import flex_attention

from attentio.attention.attend import Run, observer
from attentio.attention.call import Attended, Call
from attentio.attention.compare import Dot, ScaledDot, Score, dot_scale
from attentio.inspection.caller import Caller, find_caller, names_of
from attentio.layers.local import LocalAttention

Api = Literal["attend", "sdpa", "flex", "multihead", "softmax"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Observed:
    """One call of one attention, after it has run. The tensors are the model's own: not to be changed.

    name: path of the module in the observed model, "" outside any submodule.
    kind: whether a sequence attends to itself or to another: as the layer's class, arguments or name say.
    api: what was called. "softmax": attention written by hand.
    query, key, value: after projection, [batch, heads, n, d], grouped heads repeated. None where the scores cannot be
        made from them: "softmax", and `LocalAttention`, where every query has a window of its own.
    score: attentio's comparison; None for the others, which take dot products times `scale`.
    score_mod: what FlexAttention changes the scores with.
    mask: as given. A bool tensor: True = may attend; a float tensor is added to the scores; attentio's `Mask`;
        FlexAttention's BlockMask. Of "multihead", `attn_mask` and `key_padding_mask` as one such tensor. Tensors
        broadcast to [batch, heads, q, k].
    bias: what `attend` adds to the scores.
    is_causal: query i sees the keys 0 to i, besides what mask says.
    dropout: probability that a weight was set to 0 in this call.
    context: the result, [batch, heads, q, dv]; of "multihead" after the output's projection, [batch, q, features].
    weights: only where the function returned or made them: [batch, heads, q, k]; [batch, 1, q, k] where averaged over
        heads. Those of torch's multihead attention are from after dropout, the others from before.
    """

    name: str
    kind: Literal["self", "cross"]
    api: Api
    query: Tensor | None = None
    key: Tensor | None = None
    value: Tensor | None = None
    score: Score | None = None
    score_mod: Callable[..., Tensor] | None = None
    mask: Any = None
    bias: Tensor | None = None
    is_causal: bool = False
    scale: float | None = None
    dropout: float = 0.0
    context: Tensor
    weights: Tensor | None = None


OnCall = Callable[[Observed], None]

_FLEX_AS_WRITTEN = "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG"


@contextmanager
def observing(model: nn.Module, on_call: OnCall) -> Iterator[None]:
    """Calls `on_call` with every attention that `model` runs in this block, in this thread, after it has run.

    The model's results are its own. Meanwhile, torch's fused path past `nn.MultiheadAttention` is off, which rounds
    differently and writes zeros at padding, and what `torch.compile` compiled runs as written.
    What `on_call` itself computes is not observed; an exception in it goes through to the model's caller.
    """
    from attentio.inspection.observed_functions import ObservedFunctions

    names = names_of(model)

    def report(caller: Caller, api: Api, **seen: Any) -> None:
        device = seen["context"].device.type
        with unobserved(), torch.no_grad(), torch.autocast(device, enabled=False):
            on_call(Observed(name=caller.name, kind=caller.kind(seen), api=api, **seen))

    outer = observer.get()

    def observe(call: Call, run: Run) -> Attended:
        if outer is None:
            with unobserved():
                attended = run(call)
        else:
            attended = outer(call, run)
        _report_attend(find_caller(names), call, attended, report)
        return attended

    with ExitStack() as stack:
        stack.enter_context(_plain_torch())
        token = observer.set(observe)
        stack.callback(observer.reset, token)
        stack.enter_context(ObservedFunctions(lambda: find_caller(names), report))
        yield


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

    def heads(tensor: Tensor) -> Tensor:
        return tensor if tensor.ndim == 4 else tensor.unsqueeze(1)

    bias = call.bias
    if bias is not None and call.query.ndim == 3 and bias.ndim == 3:
        bias = bias.unsqueeze(1)
    report(
        caller,
        "attend",
        query=heads(call.query),
        key=heads(call.key),
        value=heads(call.value),
        score=call.score,
        mask=call.mask,
        bias=bias,
        scale=dot_scale(call.score, call.query) if isinstance(call.score, Dot | ScaledDot) else None,
        dropout=call.dropout,
        context=heads(attended.context),
        weights=None if attended.weights is None else heads(attended.weights),
    )


_plain_lock = threading.Lock()
_plain_users = 0
_plain_undo = ExitStack()


@contextmanager
def _plain_torch() -> Iterator[None]:
    """torch computes attention by the functions that were called; set for all threads, as long as one needs it."""
    global _plain_users, _plain_undo
    with _plain_lock:
        if _plain_users == 0:
            _plain_undo = _make_plain()
        _plain_users += 1
    try:
        yield
    finally:
        with _plain_lock:
            _plain_users -= 1
            if _plain_users == 0:
                _plain_undo.close()


def _make_plain() -> ExitStack:
    undo = ExitStack()
    undo.callback(torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled())
    torch.backends.mha.set_fastpath_enabled(False)
    # FlexAttention outside of torch.compile compiles itself, and would compile the observer with it.
    undo.callback(setattr, flex_attention, _FLEX_AS_WRITTEN, getattr(flex_attention, _FLEX_AS_WRITTEN, False))
    setattr(flex_attention, _FLEX_AS_WRITTEN, True)
    if "torch._dynamo" in sys.modules:  # else nothing has been compiled; importing it takes seconds
        undo.enter_context(torch.compiler.set_stance("force_eager"))
    return undo

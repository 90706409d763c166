"""Attention, all of it:

    scores  = compare(query, key)          how alike are they?              [.., q, k]
    scores  = mask(scores)                 -inf where looking is forbidden
    weights = normalize(scores)            softmax: each row sums to 1
    context = aggregate(weights, value)    sum over keys of weight * value  [.., q, dv]

`engines/reference.py` is this and nothing else; the other engines compute the same function faster.
"""

from collections.abc import Callable
from contextlib import nullcontext
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from attentio.attention.call import Attended, Call, Compute
from attentio.attention.check import checked_call
from attentio.attention.compare import COMPARISONS, Dot, ScaledDot, ScoreFunction
from attentio.attention.engines import additive, blocks, flex, reference, sdpa, short
from attentio.attention.engines.engine import Engine
from attentio.attention.entmax import NormalizeFunction
from attentio.attention.mask_base import Mask
from attentio.attention.transforms import dispatching, transforming, writing_onnx
from attentio.devices import without_autocast
from attentio.notebook import frame, line

ENGINES: dict[str, Engine] = {
    "additive": additive,
    "blocks": blocks,
    "flex": flex,
    "short": short,
    "sdpa": sdpa,
    "reference": reference,
}
"""The first runs that neither refuses a call nor knows a faster engine."""

observer: ContextVar[Callable[[Call, Compute], Attended] | None] = ContextVar("observer", default=None)
"""The one hook by which `capturing` sees attention: while it is set, it is given every call and what computes it, and
returns the result. It decides nothing: neither which engine runs nor any number. It is a context variable, so that a
model is observed in one thread and not in the others. None: nobody looks."""


def attend(
    query: Float[Tensor, "batch *heads q _"],
    key: Float[Tensor, "batch *groups k d"],
    value: Float[Tensor, "batch *value_groups k dv"],
    *,
    score: ScoreFunction = ScaledDot(),  # noqa: B008 (frozen)
    mask: Mask | None = None,
    bias: Float[Tensor, "..."] | None = None,
    normalize: NormalizeFunction | None = None,
    dropout: float = 0.0,
    need_weights: bool = False,
    engine: str | None = None,
) -> Attended:
    """normalize(score(query, key) + bias, over the keys that mask allows) @ value

    Args:
        query: [batch, (heads,) q, d]; for `Location`, d is a number of key positions, at least k.
        key: [batch, (heads,) k, d]. Fewer heads than the query's, which they divide, are each shared by as many
            neighbouring query heads (grouped-query attention).
        value: [batch, (heads,) k, dv], as key.
        score: the comparison: `Dot()`, `ScaledDot()`, `Additive(vector)`, `Location()`, or any function of
            query and key that returns scores.
        mask: who may attend to whom; None: everybody to everything.
        bias: added to the scores; broadcasts to [batch, (heads,) q, k] as torch does, cast to the query's
        dtype.
        normalize: from scores to weights: None for softmax, `Sparsemax()`, `Entmax(alpha)`, or any function of scores
            [batch, heads, q, k], -inf where the mask forbids, that returns as many weights. Whatever it is, forbidden
            keys have weight 0. All but softmax run on the engine `reference`.
        dropout: probability that a weight is set to 0 (the others grow to make up for it). There is no
            evaluation mode here: pass 0.0.
        need_weights: whether to return the weights, always from before dropout.
        engine: the name of the engine that must run; None chooses, and `explain` tells which and why.

    Returns:
        context [batch, (heads,) q, dv] and weights [batch, (heads,) q, k] or None. A query with no key to
        attend to has weights 0, context 0 and gradient 0. Both have the query's dtype, also under autocast.
        NaN and inf in keys and values do not reach the queries that may not attend to them; those that may get NaN.

    Raises:
        ValueError: shapes, dtypes or devices do not go together; `mask` is a raw tensor; `engine` is unknown
            or cannot do this call.

    Reference: Bahdanau et al. 2015, section 3.1; Luong et al. 2015, section 3; Vaswani et al. 2017, section
        3.2.

    >>> query, key, value = torch.randn(3, 2, 4, 5, 8).unbind()  # each [batch 2, heads 4, 5 positions, 8 features]
    >>> at.attend(query, key, value, mask=at.causal(), need_weights=True)
    Attended(context [2, 4, 5, 8], weights [2, 4, 5, 5])
    >>> asked = {"score": at.Dot(), "bias": torch.zeros(5, 5), "normalize": at.Sparsemax(), "dropout": 0.1}
    >>> at.attend(query, key, value, **asked, engine="reference")
    Attended(context [2, 4, 5, 8], weights None)
    """
    call = checked_call(query, key, value, score, mask, bias, dropout, need_weights, normalize)
    widened = _widened(call)
    with without_autocast(query.device) if widened is not call else nullcontext():
        context, weights = _attend(widened, engine)
    attended = Attended(context.to(query.dtype), None if weights is None else weights.to(query.dtype))
    return attended if query.ndim == 4 else _without_heads(attended)


@dataclass(frozen=True)
class Explanation:
    """Which engine runs a call, and what each of the others would say to it."""

    engine: str
    reason: str
    others: dict[str, str]

    def __repr__(self) -> str:
        return f"Explanation({self.engine}: {self.reason})"

    def __str__(self) -> str:
        others = (f"  not {name}: {why}" for name, why in self.others.items())
        return "\n".join([f"{self.engine}: {self.reason}", *others])

    def _repr_html_(self) -> str:
        """For notebooks."""
        others = (line(why, f"not {name}:") for name, why in self.others.items())
        return frame(f"{self.engine}: {self.reason}", *others)


def explain(
    query: Float[Tensor, "batch *heads q _"],
    key: Float[Tensor, "batch *groups k d"],
    value: Float[Tensor, "batch *value_groups k dv"],
    *,
    score: ScoreFunction = ScaledDot(),  # noqa: B008 (frozen)
    mask: Mask | None = None,
    bias: Float[Tensor, "..."] | None = None,
    normalize: NormalizeFunction | None = None,
    dropout: float = 0.0,
    need_weights: bool = False,
    engine: str | None = None,
) -> Explanation:
    """Which engine `attend` runs with the same arguments, and why; nothing is computed.

    Raises:
        ValueError: as `attend`.

    >>> x = torch.randn(2, 4, 5, 8)
    >>> at.explain(x, x, x, mask=at.causal(), normalize=at.Entmax())
    Explanation(reference: ...)
    >>> asked = {"score": at.Dot(), "bias": torch.zeros(5, 5), "dropout": 0.1, "need_weights": True}
    >>> print(at.explain(x, x, x, **asked, engine="reference"))
    reference: ...; asked for by name
      not ...
    """
    call = checked_call(query, key, value, score, mask, bias, dropout, need_weights, normalize)
    call = _widened(call)
    objections = {
        name: _refusal(call, name) or _uncounted(call, name) or module.plan(call).slower_because
        for name, module in ENGINES.items()
    }
    if engine is not None:
        _require_able(call, engine)
    chosen = engine or next(name for name, objection in objections.items() if objection is None)
    why, instead = ("asked for by name", "asked for") if engine else ("the fastest for this call", "faster")
    others = {
        name: objection or f"it could, but {chosen} is {instead}"
        for name, objection in objections.items()
        if name != chosen
    }
    return Explanation(chosen, f"{ENGINES[chosen].SUMMARY}; {why}", others)


def _attend(call: Call, engine: str | None) -> Attended:
    compute = _choose(call, engine)
    observe = None if torch.compiler.is_compiling() else observer.get()
    return compute(call) if observe is None else observe(call, compute)


def _in_float32(call: Call) -> bool:
    """Whether scores and context are computed in 32 bits, whatever autocast says: those of the comparisons that are
    known, so that a call of few queries is no coarser than one of many.

    torch's fused kernel sums 16 bits in 32; what it cannot do, weights and other normalizations, must be no coarser. On
    a CPU the backward pass of 16 bits takes ten times as long, so what is trained is widened there too.
    """
    dtype, tensors = call.query.dtype, (call.query, call.key, call.value)
    on_cpu = call.query.device.type == "cpu"
    if dtype not in (torch.bfloat16, torch.float16):
        known = type(call.score) in COMPARISONS
        return known and dtype == torch.float32 and on_cpu and torch.is_autocast_enabled("cpu")
    if type(call.score) not in (Dot, ScaledDot):
        return False
    if call.need_weights or call.normalize is not None:
        return True
    trained = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    transformed = torch.compiler.is_compiling() or transforming()
    return on_cpu and trained and not transformed


def _widened(call: Call) -> Call:
    if not _in_float32(call):
        return call
    query, key, value = call.query.float(), call.key.float(), call.value.float()
    return call._replace(query=query, key=key, value=value, bias=None if call.bias is None else call.bias.float())


def _choose(call: Call, engine: str | None) -> Compute:
    if engine is not None:
        _require_able(call, engine)
        return ENGINES[engine].run
    if call.normalize is not None or transforming() or writing_onnx():
        return ENGINES["reference"].run
    if dispatching():
        return ENGINES["reference" if _refusal(call, "sdpa") or _uncounted(call, "sdpa") else "sdpa"].run
    plans = (module.plan(call) for module in ENGINES.values() if module.refuses(call) is None)
    return next(plan.run for plan in plans if plan.slower_because is None)


def _refusal(call: Call, engine: str) -> str | None:
    """Why an engine cannot do a call; None: it can."""
    if engine != "reference" and call.normalize is not None:
        return f"it normalizes by softmax only, and normalize is {_named(call.normalize)}"
    if engine != "reference" and transforming():
        return "torch.func and forward-mode differentiation transform plain torch operations only"
    return ENGINES[engine].refuses(call)


def _uncounted(call: Call, engine: str) -> str | None:
    """Why an engine is not chosen under a dispatch mode; asked for by name it runs."""
    if engine == "reference" or not dispatching():
        return None
    if engine != "sdpa":
        return "a dispatch mode is told of torch's own operations only"
    on_cpu = call.key.device.type == "cpu"
    return "torch's FlopCounterMode does not count the CPU's fused kernel" if on_cpu else None


def _named(function: NormalizeFunction) -> str:
    return getattr(function, "__name__", None) or repr(function)


def _require_able(call: Call, engine: str) -> None:
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}, got {engine!r}")
    refusal = _refusal(call, engine)
    if refusal is not None:
        raise ValueError(f'engine="{engine}" cannot do this call: {refusal}')


def _without_heads(attended: Attended) -> Attended:
    context, weights = attended
    return Attended(context.squeeze(1), None if weights is None else weights.squeeze(1))

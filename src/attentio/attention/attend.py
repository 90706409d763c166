"""Attention, all of it:

    scores  = compare(query, key)          how alike are they?              [.., q, k]
    scores  = mask(scores)                 -inf where looking is forbidden
    weights = normalize(scores)            softmax: each row sums to 1
    context = aggregate(weights, value)    sum over keys of weight * value  [.., q, dv]

`engines/reference.py` is this and nothing else; the other engines compute the same function faster.
"""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from types import ModuleType

import torch
from jaxtyping import Float
from torch import Tensor

from attentio.attention.call import Attended, Call, require_broadcast
from attentio.attention.compare import ScaledDot, Score
from attentio.attention.engines import additive, blocks, flex, reference, sdpa, short
from attentio.attention.mask import Mask

ENGINES: dict[str, ModuleType] = {
    "additive": additive,
    "blocks": blocks,
    "flex": flex,
    "short": short,
    "sdpa": sdpa,
    "reference": reference,
}
"""The first that neither refuses a call nor yields to another engine runs it."""

Run = Callable[[Call], Attended]

observer: ContextVar[Callable[[Call, Run], Attended] | None] = ContextVar("observer", default=None)
"""Runs the calls in place of `attend` and sees them; `inspection.observe` sets it."""


def attend(
    query: Float[Tensor, "batch *heads q _"],
    key: Float[Tensor, "batch *heads k d"],
    value: Float[Tensor, "batch *heads k dv"],
    *,
    score: Score = ScaledDot(),  # noqa: B008 (frozen)
    mask: Mask | None = None,
    bias: Float[Tensor, "..."] | None = None,
    dropout: float = 0.0,
    need_weights: bool = False,
    engine: str | None = None,
) -> Attended:
    """softmax(score(query, key) + bias, over the keys that mask allows) @ value

    Args:
        query: [batch, (heads,) q, d]; for `Location`, d is a number of key positions, at least k.
        key: [batch, (heads,) k, d].
        value: [batch, (heads,) k, dv].
        score: the comparison: `Dot()`, `ScaledDot()`, `Additive(vector)`, `Location()`, or any function of
            query and key that returns scores.
        mask: who may attend to whom; None: everybody to everything.
        bias: added to the scores; broadcasts to [batch, (heads,) q, k] as torch does, cast to the query's
        dtype.
        dropout: probability that a weight is set to 0 (the others grow to make up for it). There is no
            evaluation mode here: pass 0.0.
        need_weights: whether to return the weights, always from before dropout.
        engine: the name of the engine that must run; None chooses, and `explain` tells which and why.

    Returns:
        context [batch, (heads,) q, dv] and weights [batch, (heads,) q, k] or None. A query with no key to
        attend to has weights 0, context 0 and gradient 0. NaN and inf in keys and values do not reach the
        queries that may not attend to them; those that may get NaN.

    Raises:
        ValueError: shapes, dtypes or devices do not go together; `mask` is a raw tensor; `engine` is unknown
            or cannot do this call.

    Reference: Bahdanau et al. 2015, section 3.1; Luong et al. 2015, section 3; Vaswani et al. 2017, section
        3.2.
    """
    call = _check(query, key, value, score, mask, bias, dropout, need_weights)
    run = ENGINES[_choose(call, engine)].run
    observe = None if torch.compiler.is_compiling() else observer.get()
    return run(call) if observe is None else observe(call, run)


@dataclass(frozen=True)
class Explanation:
    """Which engine runs a call, and what each of the others would say to it."""

    engine: str
    reason: str
    others: dict[str, str]

    def __str__(self) -> str:
        others = (f"  not {name}: {why}" for name, why in self.others.items())
        return "\n".join([f"{self.engine}: {self.reason}", *others])


def explain(
    query: Float[Tensor, "batch *heads q _"],
    key: Float[Tensor, "batch *heads k d"],
    value: Float[Tensor, "batch *heads k dv"],
    *,
    score: Score = ScaledDot(),  # noqa: B008 (frozen)
    mask: Mask | None = None,
    bias: Float[Tensor, "..."] | None = None,
    dropout: float = 0.0,
    need_weights: bool = False,
    engine: str | None = None,
) -> Explanation:
    """Which engine `attend` runs with the same arguments, and why; nothing is computed.

    Raises:
        ValueError: as `attend`.
    """
    call = _check(query, key, value, score, mask, bias, dropout, need_weights)
    chosen = _choose(call, engine)
    why = "asked for by name" if engine else "the fastest for this call"
    instead = f"it could, but {chosen} is " + ("asked for" if engine else "faster")
    others = {
        name: module.refuses(call) or module.yields(call) or instead
        for name, module in ENGINES.items()
        if name != chosen
    }
    return Explanation(chosen, f"{ENGINES[chosen].SUMMARY}; {why}", others)


def _choose(call: Call, engine: str | None) -> str:
    if engine is None:
        return next(
            name for name, module in ENGINES.items() if module.refuses(call) is None and module.yields(call) is None
        )
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}, got {engine!r}")
    refusal = ENGINES[engine].refuses(call)
    if refusal is not None:
        raise ValueError(f'engine="{engine}" cannot do this call: {refusal}')
    return engine


def _check(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    score: Score,
    mask: Mask | None,
    bias: Tensor | None,
    dropout: float,
    need_weights: bool,
) -> Call:
    complaint = _complaint(query, key, value)
    if complaint is not None:
        raise ValueError(complaint)
    if isinstance(score, type):
        raise ValueError(f"score must be an instance, got the class; write {score.__name__}(...)")
    if mask is not None and not isinstance(mask, Mask):
        raise ValueError(
            f"mask must say what its values mean, got a bare {type(mask).__name__}; "
            "write at.keep(t) for a bool tensor in which True = may attend, "
            "or bias=t for numbers to be added to the scores"
        )
    if bias is not None:
        if not bias.is_floating_point():
            raise ValueError(
                f"bias is added to the scores and must be floating point, got {bias.dtype}; "
                "write mask=at.keep(t) for a bool tensor in which True = may attend"
            )
        require_broadcast("bias", bias, (*query.shape[:-1], key.shape[-2]))
        bias = bias.to(query.dtype)
    if not 0.0 <= dropout < 1.0:
        raise ValueError(f"dropout must be a probability, at least 0 and below 1, got {dropout}")
    return Call(query, key, value, score, mask, bias, dropout, need_weights)


def _complaint(query: Tensor, key: Tensor, value: Tensor) -> str | None:
    """What does not fit together; None when all does, which must be found out quickly."""
    q_shape, k_shape, v_shape = query.shape, key.shape, value.shape
    if len(q_shape) not in (3, 4) or not query.is_floating_point():
        return f"query must be floating point [batch, q, d] or [batch, heads, q, d], got {query.dtype} {list(q_shape)}"
    for name, tensor in (("key", key), ("value", value)):
        if tensor.dtype != query.dtype or tensor.device != query.device:
            return (
                f"{name} must have the dtype and device of query ({query.dtype}, {query.device}), "
                f"got {tensor.dtype}, {tensor.device}"
            )
    for name, shape in (("key", k_shape), ("value", v_shape)):
        if len(shape) != len(q_shape) or shape[:-2] != q_shape[:-2]:
            return f"{name} must have the batch (and heads) of query {list(q_shape)}, got {list(shape)}"
    if v_shape[-2] != k_shape[-2]:
        return f"value must have one row for each of the {k_shape[-2]} keys, got {list(v_shape)}"
    return None

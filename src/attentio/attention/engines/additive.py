"""Bahdanau's comparison, v . tanh(q + k), without ever holding the sums q + k, which take d times the memory of the
scores: `kernels/additive.py` computes them in the processor's registers, and once more for the gradients.

Where numba cannot help, on another device or without numba, plain torch does the same in chunks of queries. Nothing
but the weights is kept for the backward pass.
"""

import functools
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from attentio.attention.call import Attended, Call
from attentio.attention.compare import Additive
from attentio.attention.engines.additive_chunks import gradients_in_chunks, scores_in_chunks
from attentio.attention.engines.differentiable import recorded_gradients_by_weights
from attentio.attention.engines.engine import NOTHING_TO_DO, Plan
from attentio.attention.normalize import normalize
from attentio.attention.shield import guarded, known_finite
from attentio.attention.transforms import recording
from attentio.devices import without_autocast

SUMMARY = "v . tanh(q + k) in the processor's registers, one division per pair and feature"

_FEW = 4
"""Up to this many queries, all of attention is one kernel: measured, see docs/engines.md."""

_TINY, _SMALL = 1 << 13, 1 << 16
"""Pairs times features. Up to _TINY, plain torch is faster than calling the loops (32 against 46 microseconds for 480
of them, but 780 against 200 for 250,000); up to _SMALL, waking other threads costs more than they save."""


class _ExpLimits(NamedTuple):
    """Where exp(2 q) exp(2 k) is exact: as long as all |k| <= smaller, a q beyond larger has the tanh(q + k) of
    q = larger, and so the other way round."""

    smaller: float
    larger: float


_EXP_LIMITS = {torch.float32: _ExpLimits(34.0, 43.0), torch.float64: _ExpLimits(300.0, 345.0)}


def refuses(call: Call) -> str | None:
    if type(call.score) is not Additive:
        return f"it compares by v . tanh(q + k) only, and score is {type(call.score).__name__}"
    if call.is_empty():
        return NOTHING_TO_DO
    return None


def plan(call: Call) -> Plan:
    # What is compiled may have any length.
    if torch.compiler.is_compiling() or call.query.device.type != "cpu" or call.query.dtype.itemsize < 4:
        return Plan(run)
    work = call.query.numel() * call.key.shape[2]
    if work <= _TINY:
        why = f"too few tanh ({work:,}); plain torch is faster up to {_TINY:,}"
        return Plan(run, slower_because=why)
    return Plan(run)


def run(call: Call) -> Attended:
    allowed = call.allowed()
    skips = not torch.compiler.is_compiling() and not call.dropout and _in_one_kernel(call.query)
    return _compute(call, allowed) if allowed is None or skips else guarded(_compute, call, allowed)


def _compute(call: Call, allowed: Bool[Tensor, "*_ _ _"] | None) -> Attended:
    assert isinstance(call.score, Additive)
    dtype = call.query.dtype
    exact = torch.float64 if dtype == torch.float64 else torch.float32
    query, key, value, vector = (t.to(exact) for t in (call.query, call.key, call.value, call.score.vector))
    bias = None if call.bias is None else call.bias.to(exact)
    inputs = (query, key, value, vector, allowed, bias)
    with without_autocast(query.device):  # all is in the precision it should be in
        context, weights = _operation(inputs)(*inputs)
        if call.dropout:
            context = F.dropout(weights, call.dropout) @ value
    return Attended(context.to(dtype), weights.to(dtype) if call.need_weights else None)


def _operation(inputs: tuple[Tensor | None, ...]) -> Callable[..., tuple[Tensor, Tensor]]:
    """A custom operator can be compiled and exported; a Function costs less to call, and a function least."""
    if torch.compiler.is_compiling():
        return _operator
    differentiable = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in inputs)
    return _Function.apply if differentiable else _forward


def _forward(
    query: Float[Tensor, "batch heads q d"],
    key: Float[Tensor, "batch heads k d"],
    value: Float[Tensor, "batch heads k dv"],
    vector: Float[Tensor, "d"],
    allowed: Bool[Tensor, "*_ _ _"] | None,
    bias: Float[Tensor, "_ _ _ _"] | None,
) -> tuple[Float[Tensor, "batch heads q dv"], Float[Tensor, "batch heads q k"]]:
    """Context and weights."""
    shape = (*query.shape[:-1], key.shape[-2])
    kernels = _kernels() if query.device.type == "cpu" else None
    pairs = _pairs(allowed, True, query, shape), _pairs(bias, 0.0, query, shape)
    if kernels is not None and _in_one_kernel(query):
        context, weights = query.new_empty(*query.shape[:-1], value.shape[-1]), query.new_empty(shape)
        inputs = (*_flat(query, key, value), vector, *pairs, allowed is not None)
        kernels.run(kernels.attend_few, *_arrays(*inputs, *_flat(context, weights)), threads=_threads(query, key))
        return context, weights
    powers = None if kernels is None else _exponentials(query, key)
    if kernels is not None and powers is not None:
        scores = query.new_empty(shape)
        kernels.run(
            kernels.scores, *_arrays(*_flat(*powers), vector, *pairs, *_flat(scores)), threads=_threads(query, key)
        )
    else:
        scores = scores_in_chunks(query, key, vector)
        scores = scores if bias is None else scores + bias
        scores = scores if allowed is None else scores.masked_fill(~allowed, float("-inf"))
    weights = normalize(scores)
    return weights @ value, weights


def _backward(
    grad_context: Float[Tensor, "batch heads q dv"] | None,
    grad_weights: Float[Tensor, "batch heads q k"] | None,
    query: Float[Tensor, "batch heads q d"],
    key: Float[Tensor, "batch heads k d"],
    value: Float[Tensor, "batch heads k dv"],
    vector: Float[Tensor, "d"],
    weights: Float[Tensor, "batch heads q k"],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Float[Tensor, "batch heads q k"]]:
    """Gradients of query, key, value, vector and scores."""
    if grad_context is None:
        grad_context = value.new_zeros(*query.shape[:-1], value.shape[-1])
    kernels = _kernels() if query.device.type == "cpu" else None
    if kernels is not None and _in_one_kernel(query):
        grad_weights = _everywhere(0.0, weights.dtype, weights.shape) if grad_weights is None else grad_weights
        found = [t.new_empty(t.shape) for t in (query, key, value, weights)]
        of_vector = vector.new_empty(query.shape[0] * query.shape[1], *vector.shape)
        *flat, of_scores = _flat(*found)
        inputs = (*_flat(grad_context), grad_weights.flatten(0, 1), *_flat(query, key, value), vector, *_flat(weights))
        kernels.run(
            kernels.attend_few_gradients, *_arrays(*inputs, *flat, of_vector, of_scores), threads=_threads(query, key)
        )
        return found[0], found[1], found[2], of_vector.sum(0), found[3]
    of_value = weights.transpose(-1, -2) @ grad_context
    of_weights = grad_context @ value.transpose(-1, -2)
    if grad_weights is not None:
        of_weights += grad_weights
    of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
    del of_weights
    powers = None if kernels is None else _exponentials(query, key)
    if kernels is None or powers is None:
        of_query, of_key, of_plain_vector = gradients_in_chunks(query, key, vector, of_scores)
        return of_query, of_key, of_value, of_plain_vector, of_scores
    found = [t.new_empty(t.shape) for t in (query, key)]
    flat = _flat(*found)
    of_vector = vector.new_empty(flat[0].shape[0], *vector.shape)
    kernels.run(
        kernels.score_gradients,
        *_arrays(*_flat(*powers), vector, *_flat(of_scores), *flat, of_vector),
        threads=_threads(query, key),
    )
    return found[0], found[1], of_value, of_vector.sum(0), of_scores


def _recorded_backward(
    grad_context: Tensor | None,
    grad_weights: Tensor | None,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    vector: Tensor,
    weights: Tensor,
) -> tuple[Tensor | None, ...]:
    """`_backward` in operations that autograd can differentiate again.

    In these a weight of 0 would be no protection from NaN and inf in masked keys and values: see `shield`.
    """
    key, value = (t if known_finite(t) else t.masked_fill(~t.isfinite(), 0.0) for t in (key, value))
    (of_query, of_key, of_vector), of_value, of_scores = recorded_gradients_by_weights(
        lambda q, k, v: Additive(v)(q, k), (query, key, vector), value, weights, grad_context, grad_weights
    )
    return of_query, of_key, of_value, of_vector, of_scores


class _Function(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Any:
        output = _forward(*inputs)
        _keep(ctx, inputs, output)
        ctx.set_materialize_grads(False)
        return output

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor | None) -> Any:
        return _differentiate(_recorded_backward if recording(*upstream) else _backward, ctx, *upstream)


def _keep(ctx: Any, inputs: Any, output: Any) -> None:
    query, key, value, vector, _, bias = inputs
    ctx.save_for_backward(query, key, value, vector, output[1])
    ctx.bias_shape = None if bias is None else bias.shape


def _differentiate(gradients: Callable[..., Any], ctx: Any, *upstream: Tensor | None) -> tuple[Tensor | None, ...]:
    saved = ctx.saved_tensors
    with without_autocast(saved[0].device):
        *found, of_scores = gradients(*upstream, *saved)
    return *found, None, None if ctx.bias_shape is None else of_scores.sum_to_size(ctx.bias_shape)


_operator = torch.library.custom_op(
    "attentio::additive",
    _forward,
    mutates_args=(),
    schema="(Tensor query, Tensor key, Tensor value, Tensor vector, Tensor? allowed, Tensor? bias) -> (Tensor, Tensor)",
)
_gradients_operator = torch.library.custom_op(
    "attentio::additive_gradients",
    _backward,
    mutates_args=(),
    schema="(Tensor? grad_context, Tensor? grad_weights, Tensor query, Tensor key, Tensor value, Tensor vector, "
    "Tensor weights) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
)
_operator.register_autograd(functools.partial(_differentiate, _gradients_operator), setup_context=_keep)


@_operator.register_fake
def _(query: Tensor, key: Tensor, value: Tensor, vector: Tensor, allowed: Any, bias: Any) -> tuple[Tensor, Tensor]:
    lead = query.shape[:-1]
    return query.new_empty(*lead, value.shape[-1]), query.new_empty(*lead, key.shape[-2])


@_gradients_operator.register_fake
def _(grad_context: Any, grad_weights: Any, *others: Tensor) -> tuple[Tensor, ...]:
    return tuple(tensor.new_empty(tensor.shape) for tensor in others)


def _in_one_kernel(query: Tensor) -> bool:
    return (
        query.shape[-2] <= _FEW
        and query.dtype != torch.float64
        and query.device.type == "cpu"
        and _kernels() is not None
    )


def _exponentials(query: Tensor, key: Tensor) -> tuple[Tensor, Tensor] | None:
    """exp(2 q) and exp(2 k); None where both q and k are too large for the product to be exact."""
    limits = _EXP_LIMITS[query.dtype]
    if not any(max(-low, high) <= limits.smaller for low, high in (_range(query), _range(key))):
        return None
    powers = (tensor.clamp(-limits.larger, limits.larger).mul_(2.0).exp_() for tensor in (query, key))
    return next(powers), next(powers)


def _range(tensor: Tensor) -> tuple[float, float]:
    low, high = tensor.aminmax()
    return low.item(), high.item()


def _pairs(tensor: Tensor | None, neutral: float | bool, like: Tensor, shape: tuple[int, ...]) -> Tensor:
    """One number for each pair, [batch, heads, q, k], expanded and not copied."""
    return _everywhere(neutral, like.dtype, shape) if tensor is None else tensor.expand(shape)


@functools.lru_cache(maxsize=64)
def _everywhere(number: float | bool, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    """One number in the place of all; nobody writes to it."""
    return torch.full((), number, dtype=torch.bool if isinstance(number, bool) else dtype, device="cpu").expand(shape)


def _flat(*tensors: Tensor) -> list[Tensor]:
    """Batch and heads as one axis."""
    return [tensor.contiguous().flatten(0, 1) for tensor in tensors]


def _threads(query: Tensor, key: Tensor) -> int:
    return torch.get_num_threads() if query.numel() * key.shape[-2] > _SMALL else 1


def _arrays(*arguments: Any) -> list[Any]:
    return [argument.detach().numpy() if isinstance(argument, Tensor) else argument for argument in arguments]


@functools.cache
def _kernels() -> ModuleType | None:
    """The compiled loops; None, and once a warning, where there can be none."""
    try:
        from attentio.attention.kernels import additive

        additive.start(threads=torch.get_num_threads())
    except Exception as error:
        warnings.warn(
            f"additive attention runs in plain torch, some twenty times slower: numba cannot compile here ({error!r})",
            stacklevel=2,
        )
        return None
    return additive

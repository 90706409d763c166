"""The door of `attend`: the arguments are checked, and brought to one layout."""

from torch import Tensor

from attentio.attention.call import Call
from attentio.attention.compare import COMPARISONS, Dot, ScaledDot, ScoreFunction
from attentio.attention.entmax import NormalizeFunction
from attentio.attention.mask_base import Mask
from attentio.attention.subclasses import require_plain
from attentio.errors import GivenFunctionError


def checked_call(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    score: ScoreFunction,
    mask: Mask | None,
    bias: Tensor | None,
    dropout: float,
    need_weights: bool,
    normalize: NormalizeFunction | None = None,
) -> Call:
    """Arguments of `attend` as a call, with an axis of heads: tensors without one get it here, as views.

    Raises:
        ValueError: as `attend`.
    """
    for name, given in (("query", query), ("key", key), ("value", value)):
        if not isinstance(given, Tensor):
            raise ValueError(f"{name} must be a torch.Tensor, got {type(given).__name__}")
    key, value = _for_each_head(query, key), _for_each_head(query, value)
    complaint = _complaint(query, key, value)
    if complaint is not None:
        raise ValueError(complaint)
    scores_shape = (*query.shape[:-1], key.shape[-2])
    known = type(score) in COMPARISONS
    if known:
        score.require_fit(query, key)  # type: ignore[attr-defined]
        if isinstance(score, ScaledDot) and isinstance(score.scale, Tensor):  # which engines do not differentiate
            query, score = query * score.scale.to(query).reshape(()), Dot()
    elif isinstance(score, type):
        raise ValueError(f"score must be an instance, got the class; write {score.__name__}(...)")
    elif not callable(score):
        raise ValueError(
            f"score must be at.Dot(), at.ScaledDot(), at.Additive(vector), at.Location() or a function, got {score!r}"
        )
    if normalize is not None:
        _require_function(normalize)
    _require_mask(mask, scores_shape)
    if bias is not None:
        bias = _checked_bias(bias, scores_shape, query).to(query.dtype)
    if dropout is None or isinstance(dropout, str) or not 0.0 <= dropout < 1.0:
        raise ValueError(f"dropout must be a probability, at least 0 and below 1, got {dropout}")
    if not known:
        score = _of_the_callers(score, scores_shape)
    if query.ndim == 3:
        query, key, value = query.unsqueeze(1), key.unsqueeze(1), value.unsqueeze(1)
    return Call(query, key, value, score, mask, bias, dropout, need_weights, normalize)


def _complaint(query: Tensor, key: Tensor, value: Tensor) -> str | None:
    """What does not fit together; None when all does, which must be found out quickly."""
    if query.is_nested or key.is_nested or value.is_nested:
        return "query, key and value must be no nested tensors; pad them, and give mask=at.padding(lengths)"
    q_shape, k_shape, v_shape = query.shape, key.shape, value.shape
    if len(q_shape) == 2:
        return (
            f"query must have an axis of sequences, [batch, q, d], got {list(q_shape)}; "
            "for one sequence give query[None], key[None] and value[None]"
        )
    if q_shape[-1:] == (0,):
        return f"query must have features to compare, got {list(q_shape)}"
    if len(q_shape) not in (3, 4) or not query.is_floating_point() or query.dtype.itemsize < 2:
        return (
            f"query must be floating point of 16 bits at least, [batch, q, d] or [batch, heads, q, d], "
            f"got {query.dtype} {list(q_shape)}"
        )
    for name, tensor in (("key", key), ("value", value)):
        if tensor.dtype != query.dtype or tensor.device != query.device:
            return (
                f"{name} must have the dtype and device of query ({query.dtype}, {query.device}), "
                f"got {tensor.dtype}, {tensor.device}"
            )
    for name, shape in (("key", k_shape), ("value", v_shape)):
        if len(shape) != len(q_shape) or shape[:-2] != q_shape[:-2]:
            return (
                f"{name} must have the batch of query {list(q_shape)}, and its heads or a divisor of them, "
                f"got {list(shape)}"
            )
    if v_shape[-2] != k_shape[-2]:
        return f"value must have one row for each of the {k_shape[-2]} keys, got {list(v_shape)}"
    return None


def _for_each_head(query: Tensor, given: Tensor) -> Tensor:
    """Keys or values that several neighbouring query heads share (grouped-query attention), once for each of them."""
    if query.ndim != 4 or given.ndim != 4 or query.is_nested or given.is_nested:
        return given
    heads, groups = query.shape[1], given.shape[1]
    if groups == heads or groups == 0 or heads % groups:
        return given
    return given.unsqueeze(2).expand(-1, -1, heads // groups, -1, -1).flatten(1, 2)


def _require_function(normalize: object) -> None:
    if isinstance(normalize, type):
        raise ValueError(f"normalize must be an instance, got the class; write {normalize.__name__}()")
    if not callable(normalize):
        raise ValueError(
            f"normalize must be at.Sparsemax(), at.Entmax(alpha) or a function of scores, got {normalize!r}; "
            "leave it out for softmax"
        )


def _require_mask(mask: object, scores_shape: tuple[int, ...]) -> None:
    """Raises ValueError for what is no mask, or one for other sequences, heads, queries or keys."""
    if mask is None:
        return
    if not isinstance(mask, Mask):
        if isinstance(mask, Tensor):
            require_plain("mask", mask)
        raise ValueError(
            f"mask must say what its values mean, got a bare {type(mask).__name__}; "
            "write at.keep(t) for a bool tensor in which True = may attend, "
            "or bias=t for numbers to be added to the scores"
        )
    mask.require_fit(*scores_shape[-2:])
    given = mask.sequences_and_heads()
    most = (scores_shape[0], scores_shape[1] if len(scores_shape) == 4 else 1)
    for what, have, need in zip(("sequences", "heads"), given, most, strict=True):
        if have not in (1, need):
            raise ValueError(f"mask must broadcast to the scores {_named(scores_shape)}, got one for {have} {what}")


def _checked_bias(bias: Tensor, scores_shape: tuple[int, ...], query: Tensor) -> Tensor:
    """The bias with four axes, some maybe of size 1."""
    require_plain("bias", bias)
    if not bias.is_floating_point():
        raise ValueError(
            f"bias is added to the scores and must be floating point, got {bias.dtype}; "
            "write mask=at.keep(t) for a bool tensor in which True = may attend"
        )
    if bias.device != query.device and bias.ndim:
        raise ValueError(f"bias must be on the device of query ({query.device}), got {bias.device}")
    shape = bias.shape
    if len(shape) > len(scores_shape) or any(
        have not in (1, need) for have, need in zip(reversed(shape), reversed(scores_shape), strict=False)
    ):
        raise ValueError(f"bias must broadcast to the scores {_named(scores_shape)}, got {list(shape)}")
    if len(shape) == 3 and len(scores_shape) == 3:
        return bias.unsqueeze(1)
    return bias if len(shape) == 4 else bias[(None,) * (4 - len(shape))]


def _named(scores_shape: tuple[int, ...]) -> str:
    axes = "[batch, q, k]" if len(scores_shape) == 3 else "[batch, heads, q, k]"
    return f"{axes} = {list(scores_shape)}"


def _of_the_callers(score: ScoreFunction, scores_shape: tuple[int, ...]) -> ScoreFunction:
    """A function of the caller's, which is given the tensors with as many axes as he gave, and must return scores."""
    one_head = len(scores_shape) == 3

    def scores_of(query: Tensor, key: Tensor) -> Tensor:
        scores = score(query.squeeze(1), key.squeeze(1)) if one_head else score(query, key)
        # Others would broadcast, and the weights would be of nobody's queries and keys.
        if scores.shape != scores_shape:
            raise GivenFunctionError(
                f"score must return a number for each query and key, {_named(scores_shape)}, got {list(scores.shape)}"
            )
        return scores.unsqueeze(1) if one_head else scores

    return scores_of

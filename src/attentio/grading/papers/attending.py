"""What all attention has in common once there are scores: mask, softmax, weighted sum; and its usual mistakes."""

import torch
from torch import Tensor

from attentio.grading.paper import Answer, Deviation, Given, Has

FILLS = (0.0, -1.0, -10.0, -100.0, -1e3, -1e4)
"""What masked scores are set to, or lowered by, where it should have been -inf."""


def answer(scores: Tensor, given: Given, has: Has, values: Tensor | None = None) -> Answer:
    """Context and weights of scores [.., q, k].

    given: value [.., k, dv]; key, which a mistake takes for it; keep, True = may attend, or None; bias, numbers that a
        mask adds, or None.
    """
    values = given["value"] if values is None else values
    if given["bias"] is not None:
        scores = scores + given["bias"]
    weights = weigh(scores, given["keep"], has)
    context = gather(weights, values, given, has)
    if has("returns scores"):
        weights = scores
    if has("returns log-weights"):
        weights = weights.log()
    return {"context": context, "weights": weights}


def weigh(scores: Tensor, keep: Tensor | None, has: Has) -> Tensor:
    """alpha = softmax over the keys that may be attended to."""
    if has("polarity") and keep is not None:
        keep = ~keep
    if has("mask ignored"):
        keep = None
    if has("mask over queries") and keep is not None:
        keep = keep.transpose(-1, -2) if keep.shape[-1] == keep.shape[-2] else None
    kept = torch.ones_like(scores, dtype=torch.bool) if keep is None else keep.expand_as(scores)
    if has("mask after softmax"):
        return normalized(scores, has) * kept
    if has("mask after softmax, renormalised over queries"):
        weights = normalized(scores, has) * kept
        return weights / weights.sum(-2, keepdim=True)
    if has("mask added as 0 and 1"):
        return normalized(scores + kept.double() * (keep is not None), has)
    if has("inverse mask added as 0 and 1"):
        return normalized(scores + (~kept).double(), has)
    for fill in FILLS:
        if has(f"filled with {fill:g}"):
            return normalized(scores.masked_fill(~kept, fill), has)
        if has(f"lowered by {-fill:g}"):
            return normalized(scores + fill * ~kept, has)
    return normalized(scores.masked_fill(~kept, -torch.inf), has)


def normalized(scores: Tensor, has: Has) -> Tensor:
    """softmax over the last axis."""
    if has("no softmax"):
        return scores.masked_fill(scores == -torch.inf, 0)
    if has("sigmoid for softmax"):
        return scores.sigmoid()
    if has("exp not divided"):
        return scores.exp()
    if has("divided without exp"):
        finite = scores.masked_fill(scores == -torch.inf, 0)
        return finite / finite.sum(-1, keepdim=True)
    if has("weights all 1"):
        return (scores > -torch.inf).double()
    if has("hard maximum"):
        return torch.nn.functional.one_hot(scores.argmax(-1), scores.shape[-1]).double()
    if has("log-softmax"):
        return scores.log_softmax(-1)
    if has("softmax over everything"):
        return scores.flatten(-2).softmax(-1).view_as(scores)
    if has("uniform"):
        return scores.masked_fill(scores > -torch.inf, 0).softmax(-1)
    if has("minus scores"):
        return torch.where(scores == -torch.inf, scores, -scores).softmax(-1)
    axis = -2 if has("softmax over queries") else 0 if has("softmax over batch") else -1
    axis = 1 if has("softmax over heads") else axis
    weights = scores.softmax(axis)
    return weights.softmax(-1) if has("double softmax") else weights


def gather(weights: Tensor, values: Tensor, given: Given, has: Has) -> Tensor:
    """c = sum over keys of alpha * value."""
    if has("keys for values"):
        values = given["key"]
    if has("queries for values") and given["query"].shape[1] == values.shape[-2]:
        values = given["query"]
    if has("weights transposed") and weights.shape[-1] == weights.shape[-2]:
        weights = weights.transpose(-1, -2)
    context = weights @ values
    if has("mean for sum"):
        context = context / values.shape[-2]
    if has("values reversed"):
        context = weights @ values.flip(-2)
    if has("query added"):
        return context + given["query"] if given["query"].shape == context.shape else context
    return context


_MASK = {
    "mask ignored": (
        "the mask changes nothing: padding is attended to",
        "마스크가 아무 일도 하지 않습니다. 패딩에도 어텐션이 갑니다",
    ),
    "polarity": (
        "the mask is read the wrong way round: what should be kept is dropped, and the reverse",
        "마스크를 거꾸로 읽습니다. 남길 것을 버리고 버릴 것을 남깁니다",
    ),
    "mask after softmax": (
        "the mask is applied after the softmax, and the weights are not normalised again: they sum to less than 1",
        "마스크를 소프트맥스 뒤에 적용하고 다시 정규화하지 않아 가중치의 합이 1보다 작습니다",
    ),
    "mask after softmax, renormalised over queries": (
        "weights masked after the softmax are divided by their sum over the queries, not over the keys",
        "소프트맥스 뒤에 마스크한 가중치를 키가 아니라 쿼리 방향의 합으로 나눕니다",
    ),
    "mask added as 0 and 1": (
        "the mask is added to the scores as the numbers 0 and 1, which masks nothing; add 0 and -inf",
        "마스크를 0과 1로 점수에 더하기만 해서 아무것도 가려지지 않습니다. 0과 -inf를 더해야 합니다",
    ),
    "inverse mask added as 0 and 1": (
        "masked scores are raised by 1; they must become -inf",
        "가릴 점수에 1을 더합니다. -inf가 되어야 합니다",
    ),
    "mask over queries": (
        "the mask is applied along the queries, not along the keys",
        "마스크를 키가 아니라 쿼리 방향에 적용합니다",
    ),
}
for _fill in FILLS:
    _MASK[f"filled with {_fill:g}"] = (
        f"masked scores are set to {_fill:g} (or so near it that it is the same); they must become -inf, else "
        "padding keeps some weight",
        f"가릴 점수를 {_fill:g}(또는 그와 다름없는 수)로 둡니다. -inf가 아니면 패딩에 가중치가 남습니다",
    )
    if _fill:
        _MASK[f"lowered by {-_fill:g}"] = (
            f"masked scores are only lowered by {-_fill:g}; they must become -inf, else padding keeps some weight",
            f"가릴 점수에서 {-_fill:g}만 뺍니다. -inf가 되지 않으면 패딩에 가중치가 남습니다",
        )

_WEIGHTS = {
    "weights all 1": (
        "every weight is 1: the softmax runs over an axis of size 1, not over the keys",
        "모든 가중치가 1입니다. 소프트맥스가 키 축이 아니라 크기가 1인 축에서 계산됩니다",
    ),
    "softmax over queries": (
        "the softmax runs over the queries; it must run over the keys, so that each query's weights sum to 1",
        "소프트맥스가 쿼리 축에서 계산됩니다. 키 축이어야 쿼리마다 가중치의 합이 1이 됩니다",
    ),
    "softmax over batch": (
        "the softmax runs over the batch; it must run over the keys",
        "소프트맥스가 배치 축에서 계산됩니다. 키 축이어야 합니다",
    ),
    "softmax over everything": (
        "one softmax runs over all queries and keys together; each query's weights must sum to 1",
        "소프트맥스 하나가 모든 쿼리와 키를 함께 정규화합니다. 쿼리마다 합이 1이어야 합니다",
    ),
    "double softmax": ("the softmax is taken twice", "소프트맥스를 두 번 합니다"),
    "no softmax": (
        "there is no softmax: the scores themselves are the weights",
        "소프트맥스가 없습니다. 점수를 그대로 가중치로 씁니다",
    ),
    "sigmoid for softmax": (
        "a sigmoid stands where the softmax should be",
        "소프트맥스 자리에 시그모이드가 있습니다",
    ),
    "exp not divided": (
        "exp(score) is not divided by its sum over the keys",
        "exp(점수)를 키 전체의 합으로 나누지 않습니다",
    ),
    "divided without exp": (
        "the scores are divided by their sum without exp",
        "exp 없이 점수를 그 합으로 나눕니다",
    ),
    "log-softmax": (
        "log-softmax stands where the softmax should be: the weights are logarithms",
        "소프트맥스 자리에 로그 소프트맥스가 있어 가중치가 로그 값입니다",
    ),
    "hard maximum": (
        "only the key with the highest score is taken (argmax); the paper's softmax weighs all keys",
        "점수가 가장 높은 키 하나만 씁니다(argmax). 논문은 모든 키에 가중치를 줍니다",
    ),
    "minus scores": (
        "the scores enter the softmax with a minus sign",
        "점수가 음의 부호로 소프트맥스에 들어갑니다",
    ),
    "uniform": (
        "all keys get the same weight, whatever the scores are",
        "점수와 상관없이 모든 키의 가중치가 같습니다",
    ),
    "returns scores": (
        "the scores are returned in place of the weights; the context is right",
        "가중치 대신 점수를 돌려줍니다. 문맥은 맞습니다",
    ),
    "returns log-weights": (
        "the logarithms of the weights are returned; the context is right",
        "가중치의 로그를 돌려줍니다. 문맥은 맞습니다",
    ),
}
_CONTEXT = {
    "keys for values": (
        "the weighted sum is taken over the keys; it must be over the values",
        "가중합을 값(value)이 아니라 키(key)로 계산합니다",
    ),
    "weights transposed": (
        "the weights are transposed before they multiply the values: sums run over the queries",
        "가중치를 전치해서 값에 곱합니다. 합이 쿼리 방향으로 계산됩니다",
    ),
    "queries for values": (
        "the weighted sum is taken over the queries; it must be over the values",
        "가중합을 값(value)이 아니라 쿼리(query)로 계산합니다",
    ),
    "mean for sum": (
        "the weighted sum is divided once more by the number of keys (a mean where a sum should be)",
        "가중합을 키의 개수로 한 번 더 나눕니다(합 대신 평균)",
    ),
    "values reversed": (
        "weights and values are paired in opposite orders",
        "가중치와 값이 서로 반대 순서로 짝지어집니다",
    ),
    "query added": (
        "the query is added to the context (a residual connection); this equation has none",
        "문맥에 쿼리를 더합니다(잔차 연결). 이 식에는 없습니다",
    ),
}
COMMON = {
    **{name: Deviation("weights", *said) for name, said in _WEIGHTS.items()},
    **{name: Deviation("context", *said) for name, said in _CONTEXT.items()},
    **{name: Deviation("mask", *said) for name, said in _MASK.items()},
}
"""The deviations that `answer` has switches for."""

EQUATION = {
    "weights": "alpha_ij = exp(e_ij) / sum_k exp(e_ik)",
    "context": "c_i = sum_j alpha_ij h_j",
    "mask": "sums run over real positions only: e_ij = -inf where j is masked",
}

DOTS = {
    "scores transposed": Deviation(
        "score",
        "scores of query and key are exchanged: row i holds the scores of key i",
        "쿼리와 키의 점수가 뒤바뀌어 행 i에 키 i의 점수가 들어 있습니다",
    ),
    "cosine": Deviation(
        "score",
        "query and key are first divided by their lengths (cosine similarity); the paper takes the dot product",
        "쿼리와 키를 길이로 나눈 코사인 유사도를 씁니다. 논문은 내적입니다",
    ),
    "distance": Deviation(
        "score",
        "the score is minus the squared distance; the paper takes the dot product",
        "점수가 거리 제곱의 음수입니다. 논문은 내적입니다",
    ),
}
"""The deviations that `dot` has switches for."""


def dot(query: Tensor, key: Tensor, has: Has) -> Tensor:
    """query . key for every pair."""
    if has("scores transposed") and query.shape[-2] == key.shape[-2]:
        query, key = key, query
    if has("cosine"):
        query, key = query / query.norm(dim=-1, keepdim=True), key / key.norm(dim=-1, keepdim=True)
    if has("distance"):
        return -(torch.cdist(query, key) ** 2)
    return query @ key.transpose(-1, -2)

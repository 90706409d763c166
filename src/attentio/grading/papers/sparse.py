"""Martins & Astudillo 2016 and Peters, Niculae & Martins 2019: scores to weights of which some are exactly 0."""

from collections.abc import Callable

import torch
from torch import Tensor

from attentio.grading.paper import Answer, Deviation, Given, Has, Paper

_Weigh = Callable[[Tensor, Has], Tensor]


def sparsemax(given: Given, has: Has) -> Answer:
    """p_j = [z_j - tau]_+, tau = (sum of the support's scores - 1) / its size"""
    return {"weights": _over_an_axis(given["scores"], has, _sparsemax)}


def entmax(given: Given, has: Has) -> Answer:
    """p_j = [z_j / 2 - tau]_+^2, by the mean and the variance of the support"""
    return {"weights": _over_an_axis(given["scores"], has, _sparsemax if has("sparsemax") else _entmax)}


def _over_an_axis(scores: Tensor, has: Has, weigh: _Weigh) -> Tensor:
    if has("softmax"):
        return scores.softmax(-1)
    if has("hard maximum"):
        return torch.nn.functional.one_hot(scores.argmax(-1), scores.shape[-1]).double()
    if has("over queries"):
        return weigh(scores.transpose(-1, -2), has).transpose(-1, -2)
    if has("over batch"):
        return weigh(scores.movedim(0, -1), has).movedim(-1, 0)
    if has("over everything"):
        return weigh(scores.flatten(), has).view_as(scores)
    return weigh(scores, has)


def _sparsemax(scores: Tensor, has: Has) -> Tensor:
    ordered = scores.sort(dim=-1, descending=not has("ascending")).values
    count = torch.arange(1, scores.shape[-1] + 1, dtype=scores.dtype)
    total = ordered.cumsum(-1) - (0.0 if has("no 1") else 1.0)
    support = ordered * count > ordered.cumsum(-1) - 1
    return _above(scores, _at(total / count, support, has), has)


def _entmax(scores: Tensor, has: Has) -> Tensor:
    halved = scores if has("no 1/2") else scores / 2
    ordered = halved.sort(dim=-1, descending=not has("ascending")).values
    count = torch.arange(1, scores.shape[-1] + 1, dtype=scores.dtype)
    mean = ordered.cumsum(-1) / count
    variance = ordered.square().cumsum(-1) / count - mean.square()
    spread = variance if has("variance for sum of squares") else count * variance
    root = ((1 - spread) / count).clamp(min=0.0).sqrt()
    tau = mean + root if has("plus root") else mean - root
    above = _above(halved, _at(tau, tau <= ordered, has), has)
    return above if has("not squared") else above.square()


def _at(tau: Tensor, support: Tensor, has: Has) -> Tensor:
    size = support.sum(-1, keepdim=True)
    if has("all in the support"):
        size = torch.full_like(size, tau.shape[-1])
    if has("one too many"):
        size = (size + 1).clamp(max=tau.shape[-1])
    if has("one too few"):
        size = size - 1
    return tau.gather(-1, (size - 1).clamp(min=0))


def _above(scores: Tensor, tau: Tensor, has: Has) -> Tensor:
    above = scores - tau
    return above if has("not cut at 0") else above.clamp(min=0.0)


_AXES = {
    "over queries": (
        "the threshold is found over the queries; it must be over the keys, the last axis",
        "문턱값을 쿼리 축에서 구합니다. 마지막 축인 키 축이어야 합니다",
    ),
    "over batch": (
        "the threshold is found over the batch; it must be over the keys, the last axis",
        "문턱값을 배치 축에서 구합니다. 마지막 축인 키 축이어야 합니다",
    ),
    "over everything": (
        "one threshold is found for all rows together; each row has its own",
        "모든 행에 하나의 문턱값을 씁니다. 행마다 따로 구해야 합니다",
    ),
    "softmax": (
        "a softmax stands where it should be: no weight is 0",
        "그 자리에 소프트맥스가 있어 0인 가중치가 없습니다",
    ),
    "hard maximum": (
        "only the key with the highest score gets a weight (argmax)",
        "점수가 가장 높은 키 하나에만 가중치를 줍니다(argmax)",
    ),
    "not cut at 0": (
        "what lies below the threshold is not set to 0",
        "문턱값보다 낮은 것을 0으로 만들지 않습니다",
    ),
    "all in the support": (
        "the threshold is that of all keys; it must be that of the support, the keys whose weight is not 0",
        "모든 키로 문턱값을 구합니다. 가중치가 0이 아닌 키(받침)로만 구해야 합니다",
    ),
    "one too many": (
        "the threshold is that of one key too many: the index of the support's size is off by one",
        "키를 하나 더 넣어 문턱값을 구합니다. 받침 크기의 색인이 하나 어긋났습니다",
    ),
    "one too few": (
        "the threshold is that of one key too few: the index of the support's size is off by one",
        "키를 하나 빼고 문턱값을 구합니다. 받침 크기의 색인이 하나 어긋났습니다",
    ),
    "ascending": (
        "the scores are sorted from the lowest; it must be from the highest",
        "점수를 낮은 것부터 정렬합니다. 높은 것부터여야 합니다",
    ),
}
_SPARSEMAX = {
    "no 1": (
        "the 1 is missing in tau = (sum - 1) / size: the weights do not sum to 1",
        "tau = (합 - 1) / 크기에서 1을 빠뜨려 가중치의 합이 1이 아닙니다",
    ),
}
_ENTMAX = {
    "no 1/2": (
        "the scores are not halved: alpha - 1 = 1/2 is missing",
        "점수를 반으로 나누지 않습니다. alpha - 1 = 1/2이 빠졌습니다",
    ),
    "not squared": (
        "what lies above the threshold is not squared",
        "문턱값을 넘는 몫을 제곱하지 않습니다",
    ),
    "sparsemax": ("sparsemax (alpha 2) stands where alpha is 1.5", "alpha 1.5의 자리에 스파스맥스(alpha 2)가 있습니다"),
    "variance for sum of squares": (
        "the variance stands where the sum of squared differences from the mean should be",
        "평균과의 차를 제곱한 합의 자리에 분산이 있습니다",
    ),
    "plus root": (
        "tau is the mean plus the root; it must be the mean minus the root",
        "tau가 평균 더하기 제곱근입니다. 평균 빼기 제곱근이어야 합니다",
    ),
}
SPARSEMAX = Paper(
    name="sparsemax",
    reference="Martins & Astudillo 2016, equation 2 and algorithm 1",
    equation={"weights": "p_j = max(0, z_j - tau), tau = (sum of z over the support - 1) / its size"},
    oracle=sparsemax,
    deviations={name: Deviation("weights", *said) for name, said in (_AXES | _SPARSEMAX).items()},
    signature="def sparsemax(scores): return weights  # over the last axis",
    kind="table",
)
ENTMAX = Paper(
    name="entmax",
    reference="Peters, Niculae & Martins 2019, algorithm 2 (alpha = 1.5)",
    equation={"weights": "p_j = max(0, z_j / 2 - tau)^2, with tau such that they sum to 1"},
    oracle=entmax,
    deviations={name: Deviation("weights", *said) for name, said in (_AXES | _ENTMAX).items()},
    signature="def entmax(scores): return weights  # alpha = 1.5, over the last axis",
    kind="table",
)

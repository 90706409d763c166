"""Luong, Pham and Manning 2015, section 3.2: local attention, monotonic and predictive."""

import torch
from torch import Tensor

from attentio.grading.paper import Answer, Deviation, Given, Has, Layout, Paper
from attentio.grading.papers import attending


def monotonic_oracle(given: Given, has: Has) -> Answer:
    """Keys |s - t| <= D; row i of `query` stands at step t + i."""
    centre = given["t"] + torch.arange(given["query"].shape[1], dtype=torch.float64)
    return _local(given, centre.expand(given["query"].shape[:2]), has)


def predictive_oracle(given: Given, has: Has) -> Answer:
    """p_t = S sigmoid(v_p . tanh(W_p h_t)); weights times a Gaussian of sigma = D / 2 around p_t."""
    keep, length = given["keep"], given["key"].shape[1]
    lengths = torch.tensor(length).expand(len(given["query"]), 1)
    if keep is not None and not has("padding counted in S"):
        lengths = keep[:, 0].sum(-1, keepdim=True)
    if has("S - 1"):
        lengths = lengths - 1
    inner = given["query"] @ given["Wp"].T + given.get("Wp.bias", 0)
    inner = inner if has("tanh of p missing") else inner.relu() if has("ReLU of p") else inner.tanh()
    outer = inner @ given["vp"] + given.get("vp.bias", 0)
    centre = outer.tanh() if has("tanh for sigmoid") else outer if has("sigmoid missing") else outer.sigmoid()
    if not has("S missing"):
        centre = lengths * centre
    return _local(given, centre, has)


def _local(given: Given, centre: Tensor, has: Has) -> Answer:
    reach = given["D"]
    places = torch.arange(given["key"].shape[1], dtype=torch.float64) + has("counted from 1")
    middle = centre.round() if has("window rounded") else centre.floor() if has("window floored") else centre
    off = places - middle[..., None]
    ahead, back = reach, reach
    if has("window of D"):
        ahead, back = reach // 2, reach // 2
    if has("D - 1 on each side"):
        ahead, back = reach - 1, reach - 1
    if has("D ahead left out"):
        ahead = reach - 1
    if has("only behind"):
        ahead = 0
    inside = (off >= -back) & (off <= ahead)
    if has("no window"):
        inside = torch.ones_like(inside)
    if has("window outside"):
        inside = ~inside
    keep = inside if given["keep"] is None or has("padding in the window") else inside & given["keep"]
    w = given.get("W")
    key = given["key"] if w is None else given["key"] @ w.T
    scores = attending.dot(given["query"], key, has)
    if given["bias"] is not None:
        scores = scores + given["bias"]
    if has("scaled"):
        scores = scores / given["query"].shape[-1] ** 0.5
    if has("cut after softmax"):
        weights = attending.weigh(scores, given["keep"], has) * inside
    elif has("filled with 0"):
        weights = scores.masked_fill(~keep, 0).softmax(-1)
    else:
        weights = attending.weigh(scores, keep, has)
        weights = weights.nan_to_num(0.0)  # no key in the window: nothing to look at
    if given["predictive"] and not has("Gaussian missing"):
        sigma = next((size for name, size in _sigmas(reach).items() if has(name)), reach / 2)
        power = (places - (middle if has("Gaussian at the rounded centre") else centre)[..., None]) ** 2 / sigma**2
        power = power if has("2 of the Gaussian missing") else power / 2
        decay = (-power).exp()
        if has("Gaussian normalised"):
            decay = decay / (sigma * (2 * torch.pi) ** 0.5)
        if has("Gaussian before softmax"):
            weights = attending.weigh(scores * decay, keep, has).nan_to_num(0.0)
        elif has("Gaussian added to scores"):
            weights = attending.weigh(scores - power, keep, has).nan_to_num(0.0)
        else:
            weights = weights * decay
        if has("renormalised"):
            weights = (weights / weights.sum(-1, keepdim=True)).nan_to_num(0.0)
    return {"context": attending.gather(weights, given["value"], given, has), "weights": weights}


def _sigmas(reach: int) -> dict[str, float]:
    return {"sigma D": float(reach), "sigma D^2": (reach / 2) ** 2, "sigma sqrt": (reach / 2) ** 0.5, "sigma 1": 1.0}


_WINDOW_SAID = {
    "window of D": (
        "the window has D positions in all; it must have 2D + 1: D on each side and the centre",
        "창이 모두 D개 위치입니다. 양쪽으로 D개씩과 가운데, 2D + 1개여야 합니다",
    ),
    "D ahead left out": (
        "the last position of the window, centre + D, is left out (a slice that ends too early)",
        "창의 마지막 위치(중심 + D)가 빠졌습니다(슬라이스가 하나 먼저 끝남)",
    ),
    "D - 1 on each side": (
        "the window leaves out both its ends: it must reach D positions on each side, D included",
        "창의 양 끝이 빠졌습니다. 양쪽으로 D번째 위치까지 들어가야 합니다",
    ),
    "only behind": (
        "the window has only the positions up to the centre; it must reach D ahead as well",
        "창이 중심까지만 있습니다. 앞쪽으로도 D까지 보아야 합니다",
    ),
    "no window": ("there is no window: all positions are looked at", "창이 없습니다. 모든 위치를 봅니다"),
    "window outside": ("the window is turned inside out", "창의 안과 밖이 뒤바뀌었습니다"),
    "cut after softmax": (
        "the softmax runs over the whole source and is cut to the window afterwards; it must run over the window",
        "소프트맥스를 원문 전체에 한 뒤 창만 남깁니다. 창 안에서 해야 합니다",
    ),
    "padding in the window": (
        "positions of padding inside the window are looked at",
        "창 안의 패딩 위치에도 어텐션이 갑니다",
    ),
    "filled with 0": (
        "scores outside the window are set to 0; they must become -inf",
        "창 밖의 점수를 0으로 둡니다. -inf여야 합니다",
    ),
    "scaled": (
        "the scores are divided by sqrt(d); Luong's have no scale",
        "점수를 sqrt(d)로 나눕니다. Luong의 점수에는 스케일이 없습니다",
    ),
}
_GAUSS_SAID = {
    "Gaussian missing": (
        "the Gaussian around p_t is missing",
        "p_t 둘레의 가우스 함수가 없습니다",
    ),
    "sigma D": ("sigma is D; it must be D / 2", "시그마가 D입니다. D / 2여야 합니다"),
    "sigma D^2": ("sigma is (D / 2)^2; it must be D / 2", "시그마가 (D / 2)^2입니다. D / 2여야 합니다"),
    "sigma sqrt": (
        "the exponent is divided by sigma, not by sigma squared",
        "지수를 시그마의 제곱이 아니라 시그마로 나눕니다",
    ),
    "sigma 1": ("sigma is 1; it must be D / 2", "시그마가 1입니다. D / 2여야 합니다"),
    "2 of the Gaussian missing": (
        "the exponent is divided by sigma^2; it must be by 2 sigma^2",
        "지수를 sigma^2로 나눕니다. 2 sigma^2로 나누어야 합니다",
    ),
    "renormalised": (
        "the weights are normalised again after the Gaussian; the paper does not",
        "가우스 함수를 곱한 뒤 다시 정규화합니다. 논문은 하지 않습니다",
    ),
    "Gaussian normalised": (
        "the Gaussian is divided by sigma sqrt(2 pi); the paper's has the height 1",
        "가우스 함수를 sigma sqrt(2 pi)로 나눕니다. 논문의 가우스 함수는 높이가 1입니다",
    ),
    "Gaussian before softmax": (
        "the Gaussian multiplies the scores before the softmax; it must multiply the weights after it",
        "가우스 함수를 소프트맥스 앞의 점수에 곱합니다. 뒤의 가중치에 곱해야 합니다",
    ),
    "Gaussian added to scores": (
        "the Gaussian's exponent is added to the scores, so the weights are normalised again; the paper multiplies the "
        "weights after the softmax",
        "가우스 함수의 지수를 점수에 더해 다시 정규화됩니다. 논문은 소프트맥스 뒤의 가중치에 곱합니다",
    ),
}
_CENTRE_SAID = {
    "padding counted in S": (
        "S is the padded length; it must be the sentence's own",
        "S가 패딩을 포함한 길이입니다. 문장의 실제 길이여야 합니다",
    ),
    "S missing": ("p_t is not multiplied by S: it lies between 0 and 1", "p_t에 S를 곱하지 않아 0과 1 사이에 있습니다"),
    "S - 1": ("p_t is multiplied by S - 1; it must be by S", "p_t에 S가 아니라 S - 1을 곱합니다"),
    "tanh of p missing": ("there is no tanh in p_t", "p_t에 tanh가 없습니다"),
    "ReLU of p": ("a ReLU stands where the tanh of p_t should be", "p_t의 tanh 자리에 ReLU가 있습니다"),
    "tanh for sigmoid": (
        "a tanh stands where the sigmoid of p_t should be",
        "p_t의 시그모이드 자리에 tanh가 있습니다",
    ),
    "sigmoid missing": ("there is no sigmoid in p_t", "p_t에 시그모이드가 없습니다"),
}
_WINDOW = {name: Deviation("window", *said) for name, said in _WINDOW_SAID.items()}
_GAUSS = {name: Deviation("gaussian", *said) for name, said in _GAUSS_SAID.items()}
_CENTRE = {name: Deviation("centre", *said) for name, said in _CENTRE_SAID.items()}
_COMMON = {name: one for name, one in {**attending.DOTS, **attending.COMMON}.items() if name not in _WINDOW}
_ONE = Deviation("centre", "source positions are counted from 1, not from 0", "원문 위치를 0이 아니라 1부터 셉니다")
_ROUNDED = {
    "window rounded": Deviation("window", "the window is centred on p_t rounded", "창의 중심이 반올림한 p_t입니다"),
    "window floored": Deviation("window", "the window is centred on p_t rounded down", "창의 중심이 내림한 p_t입니다"),
}
_NAMES = {"h": ("key",), "v": ("value",), "s": ("query",), "w": ("D",), "d": ("D",), "k": ("key", "D")}
_SIZES = ({"dq": 7, "dk": 7, "dv": 17, "a": 13}, {"dq": 7, "dk": 7, "dv": 7, "a": 7})
MONOTONIC = Paper(
    name="local-m",
    reference="Luong et al. 2015, section 3.2",
    equation={
        "centre": "p_t = t",
        "window": "source positions s with p_t - D <= s <= p_t + D, 2D + 1 of them",
        "score": "e_ts = h_t . h_s",
        **attending.EQUATION,
    },
    oracle=monotonic_oracle,
    deviations={
        **_WINDOW,
        "counted from 1": Deviation(
            "centre",
            "the window is one position off: source and target positions are not counted from the same number",
            "창이 한 칸 어긋났습니다. 원문 위치와 번역 위치를 같은 수부터 세지 않습니다",
        ),
        **_COMMON,
    },
    signature="def attention(query, keys, t, D): return context, weights  # query [batch, d], t counted from 0",
    sizes=_SIZES,
    names=_NAMES,
)
PREDICTIVE = Paper(
    name="local-p",
    reference="Luong et al. 2015, section 3.2, equations 9 and 10",
    equation={
        "centre": "p_t = S sigmoid(v_p . tanh(W_p h_t))",
        "window": "source positions s with p_t - D <= s <= p_t + D",
        "score": "e_ts = h_t . h_s",
        **attending.EQUATION,
        "gaussian": "a_t(s) = alpha_ts exp(-(s - p_t)^2 / (2 sigma^2)), sigma = D / 2",
    },
    oracle=predictive_oracle,
    deviations={**_GAUSS, **_CENTRE, **_WINDOW, **_COMMON},
    conventions={
        **_ROUNDED,
        "counted from 1": _ONE,
        "Gaussian at the rounded centre": Deviation(
            "gaussian", "the Gaussian is centred on p_t rounded too", "가우스 함수의 중심도 반올림한 p_t입니다"
        ),
    },
    signature="def attention(query, keys, W_p, v_p, D): return context, weights",
    sizes=_SIZES,
    layouts=(Layout({"Wp": ("a", "dq"), "vp": ("a",)}), Layout({"Wp": ("a", "dq"), "vp": ("a",), "W": ("dq", "dk")})),
    names=_NAMES,
)

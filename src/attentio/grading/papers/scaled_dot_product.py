"""Vaswani et al. 2017: Attention Is All You Need. Equation 1."""

from collections.abc import Mapping

from torch import Tensor

from attentio.grading.paper import Answer, Deviation, Given, Has, Paper
from attentio.grading.papers import attending


def oracle(given: Given, has: Has) -> Answer:
    """softmax(Q K^T / sqrt(d_k)) V"""
    query, key = given["query"], given["key"]
    products = attending.dot(query, key, has)
    scores = scaled(products, has, width=query.shape[-1], key=key, value_width=given["value"].shape[-1])
    if has("scaled after softmax"):
        return {name: one * query.shape[-1] ** -0.5 for name, one in attending.answer(products, given, has).items()}
    return attending.answer(scores, given, has)


def scaled(
    products: Tensor, has: Has, *, width: int, key: Tensor, model_width: int = 0, heads: int = 1, value_width: int = 0
) -> Tensor:
    """products / sqrt(width)"""
    scales = {
        "no scale": 1.0,
        "1 / d": 1 / width,
        "multiplied by sqrt(d)": width**0.5,
        "1 / sqrt(length)": key.shape[-2] ** -0.5,
        "1 / sqrt(d_model)": model_width**-0.5 if model_width else width**-0.5,
        "1 / sqrt(heads)": heads**-0.5,
        "multiplied by d": float(width),
        "1 / sqrt(d_v)": value_width**-0.5 if value_width else width**-0.5,
        "1 / d^(1/4)": width**-0.25,
        "1 / length": 1 / key.shape[-2],
        "1 / whole part of sqrt(d)": 1 / int(width**0.5),
        "1 / sqrt(batch)": key.shape[0] ** -0.5,
    }
    return products * next((scale for name, scale in scales.items() if has(name)), width**-0.5)


SCALES: Mapping[str, Deviation] = {
    "no scale": Deviation(
        "score",
        "the scores are not divided by sqrt(d_k)",
        "점수를 sqrt(d_k)로 나누지 않습니다",
    ),
    "1 / d": Deviation(
        "score",
        "the scores are divided by d_k; it must be by sqrt(d_k)",
        "점수를 d_k로 나눕니다. sqrt(d_k)로 나누어야 합니다",
    ),
    "1 / sqrt(d_model)": Deviation(
        "score",
        "the scores are divided by sqrt(d_model); it must be by sqrt(d_k), the width of a head",
        "점수를 sqrt(d_model)로 나눕니다. 헤드의 폭 d_k의 제곱근으로 나누어야 합니다",
    ),
    "1 / sqrt(length)": Deviation(
        "score",
        "the scores are divided by the square root of the number of keys; it must be that of the features d_k",
        "점수를 키 개수의 제곱근으로 나눕니다. 특징 수 d_k의 제곱근으로 나누어야 합니다",
    ),
    "multiplied by sqrt(d)": Deviation(
        "score",
        "the scores are multiplied by sqrt(d_k); they must be divided by it",
        "점수에 sqrt(d_k)를 곱합니다. 나누어야 합니다",
    ),
    "1 / sqrt(heads)": Deviation(
        "score",
        "the scores are divided by the square root of the number of heads; it must be that of d_k",
        "점수를 헤드 개수의 제곱근으로 나눕니다. d_k의 제곱근으로 나누어야 합니다",
    ),
    "multiplied by d": Deviation(
        "score",
        "the scores are multiplied by d_k; they must be divided by sqrt(d_k)",
        "점수에 d_k를 곱합니다. sqrt(d_k)로 나누어야 합니다",
    ),
    "1 / sqrt(d_v)": Deviation(
        "score",
        "the scores are divided by sqrt(d_v), the width of the values; it must be sqrt(d_k), that of the keys",
        "점수를 값의 폭 sqrt(d_v)로 나눕니다. 키의 폭 sqrt(d_k)로 나누어야 합니다",
    ),
    "1 / d^(1/4)": Deviation(
        "score",
        "the scores are divided by the fourth root of d_k (a square root too many, or only query or key is scaled); "
        "it must be sqrt(d_k)",
        "점수를 d_k의 네제곱근으로 나눕니다(제곱근을 두 번 했거나 쿼리나 키 하나만 나눔). sqrt(d_k)로 나누어야 합니다",
    ),
    "1 / length": Deviation(
        "score",
        "the scores are divided by the number of keys; it must be by sqrt(d_k)",
        "점수를 키의 개수로 나눕니다. sqrt(d_k)로 나누어야 합니다",
    ),
    "1 / whole part of sqrt(d)": Deviation(
        "score",
        "the scores are divided by sqrt(d_k) without its fraction; it must be divided by sqrt(d_k) itself",
        "점수를 sqrt(d_k)에서 소수 부분을 버린 수로 나눕니다. sqrt(d_k) 그대로 나누어야 합니다",
    ),
    "1 / sqrt(batch)": Deviation(
        "score",
        "the scores are divided by the square root of the batch size; it must be that of d_k",
        "점수를 배치 크기의 제곱근으로 나눕니다. d_k의 제곱근으로 나누어야 합니다",
    ),
}
_AFTER = Deviation(
    "score",
    "the weights are divided by sqrt(d_k) after the softmax; the scores must be, before it",
    "소프트맥스 뒤의 가중치를 sqrt(d_k)로 나눕니다. 소프트맥스 앞의 점수를 나누어야 합니다",
)
EQUATION = {
    "score": "e_ij = q_i . k_j / sqrt(d_k)",
    **attending.EQUATION,
    "context": "c_i = sum_j alpha_ij v_j",
}
SCALED_DOT_PRODUCT = Paper(
    name="scaled-dot-product",
    reference="Vaswani et al. 2017, section 3.2.1, equation 1",
    equation=EQUATION,
    oracle=oracle,
    deviations={
        name: one
        for name, one in {**SCALES, "scaled after softmax": _AFTER, **attending.DOTS, **attending.COMMON}.items()
        if name not in ("1 / sqrt(d_model)", "1 / sqrt(heads)")
    },
    signature="def attention(query, key, value, mask=None): return context, weights",
    sizes=({"dq": 7, "dk": 7, "dv": 17}, {"dq": 7, "dk": 7, "dv": 7}),
    names={"v": ("value",), "d": ("width",)},
    unbounded=True,
)

"""Luong, Pham and Manning 2015: Effective Approaches to Attention-based Neural Machine Translation. The scores."""

from torch import Tensor

from attentio.grading.paper import Answer, Deviation, Given, Has, Layout, Paper
from attentio.grading.papers import attending
from attentio.grading.papers.additive import ADDITIVE, LAYOUTS, SIZES, additive


def dot_oracle(given: Given, has: Has) -> Answer:
    """score = h_t . h_s"""
    scores = attending.dot(given["query"], given["key"], has)
    return attending.answer(_scaled(scores, given, has), given, has)


def general_oracle(given: Given, has: Has) -> Answer:
    """score = h_t . W_a h_s"""
    w = given["W"]
    if has("W transposed") and w.shape[0] == w.shape[1]:
        w = w.T
    key = given["key"] @ w.T + given.get("W.bias", 0)
    if has("W missing") and given["key"].shape[-1] == key.shape[-1]:
        key = given["key"]
    if has("tanh added"):
        key = key.tanh()
    scores = attending.dot(given["query"], key, has)
    if "Wt.bias" in given:  # of a layer that projects the query: (W_a^T h_t + b) . h_s
        scores = scores + (given["key"] @ given["Wt.bias"]).unsqueeze(-2)
    return attending.answer(_scaled(scores, given, has), given, has)


def concat_oracle(given: Given, has: Has) -> Answer:
    """score = v_a . tanh(W_a [h_t; h_s])"""
    return attending.answer(additive(given, has), given, has)


def location_oracle(given: Given, has: Has) -> Answer:
    """a_t = softmax(W_a h_t): one score for each source position, whatever the keys hold."""
    w = given["W"]
    scores = given["query"] @ w.T + given.get("W.bias", 0)
    length = given["key"].shape[1]
    if has("softmax before the cut"):
        weights = attending.weigh(scores, None, has)[..., :length]
        if given["keep"] is not None:
            weights = weights * given["keep"]
        return {"context": attending.gather(weights, given["value"], given, has), "weights": weights}
    scores = scores[..., -length:] if has("last rows of W") else scores[..., :length]
    return attending.answer(scores.tanh() if has("tanh added") else scores, given, has)


def _scaled(scores: Tensor, given: Given, has: Has) -> Tensor:
    scales = {
        "scaled": given["query"].shape[-1] ** 0.5,
        "1 / length": scores.shape[-1],
        "1 / d": given["query"].shape[-1],
    }
    return scores / next((scale for name, scale in scales.items() if has(name)), 1)


_SCALED = {
    "scaled": Deviation(
        "score",
        "the scores are divided by sqrt(d), as in Vaswani 2017; Luong's have no scale",
        "점수를 sqrt(d)로 나눕니다(Vaswani 2017). Luong의 점수에는 스케일이 없습니다",
    ),
    "1 / length": Deviation(
        "score",
        "the scores are divided by the number of source positions; Luong's have no scale",
        "점수를 원문 위치의 개수로 나눕니다. Luong의 점수에는 스케일이 없습니다",
    ),
    "1 / d": Deviation(
        "score",
        "the scores are divided by the number of features; Luong's have no scale",
        "점수를 특징 수로 나눕니다. Luong의 점수에는 스케일이 없습니다",
    ),
}
_W = {
    "W transposed": Deviation("score", "W_a is transposed: h_s . W_a h_t", "W_a가 전치되어 있습니다: h_s . W_a h_t"),
    "W missing": Deviation(
        "score", "W_a is not used: this is the score *dot*", "W_a를 쓰지 않습니다. 이것은 *dot* 점수입니다"
    ),
}
_TANH = {
    "tanh added": Deviation("score", "there is a tanh, which this score has not", "이 점수에 없는 tanh가 있습니다")
}
_NAMES = {"h": ("query", "key"), "v": ("value", "v")}
_TIED = {"dv": 17}
_REFERENCE = "Luong et al. 2015, section 3.1"

DOT = Paper(
    name="luong-dot",
    reference=_REFERENCE,
    equation={"score": "e_ts = h_t . h_s", **attending.EQUATION},
    oracle=dot_oracle,
    deviations={**_SCALED, **attending.DOTS, **attending.COMMON},
    signature="def attention(query, keys, mask=None): return context, weights",
    sizes=({"dq": 7, "dk": 7, **_TIED}, {"dq": 7, "dk": 7, "dv": 7}),
    names=_NAMES,
    unbounded=True,
)
GENERAL = Paper(
    name="luong-general",
    reference=_REFERENCE,
    equation={"score": "e_ts = h_t . W_a h_s", **attending.EQUATION},
    oracle=general_oracle,
    deviations={**_SCALED, **_W, **_TANH, **attending.DOTS, **attending.COMMON},
    signature="def attention(query, keys, W, mask=None): return context, weights",
    sizes=({"dq": 7, "dk": 11, **_TIED}, {"dq": 7, "dk": 7, "dv": 7}),
    layouts=(
        Layout({"W": ("dq", "dk")}),
        Layout({"Wt": ("dk", "dq")}, lambda given: {**given, "W": given["Wt"].T}, "transposed"),
    ),
    names=_NAMES,
    unbounded=True,
)
CONCAT = Paper(
    name="luong-concat",
    reference=_REFERENCE,
    equation={"score": "e_ts = v_a . tanh(W_a [h_t; h_s])", **attending.EQUATION},
    oracle=concat_oracle,
    deviations={**ADDITIVE, **attending.COMMON},
    signature="def attention(query, keys, W, v, mask=None): return context, weights",
    sizes=SIZES,
    layouts=(LAYOUTS[1], LAYOUTS[2], LAYOUTS[0]),
    names={**_NAMES, "v": ("v", "value")},
)
LOCATION = Paper(
    name="location",
    reference="Luong et al. 2015, equation 8",
    equation={"score": "e_t = W_a h_t, one score for each source position", **attending.EQUATION},
    oracle=location_oracle,
    deviations={
        "softmax before the cut": Deviation(
            "weights",
            "the softmax runs over all rows of W_a before it is cut to the source: the weights sum to less than 1",
            "소프트맥스를 W_a의 모든 행에 대해 한 뒤 원문 길이로 잘라 가중치의 합이 1보다 작습니다",
        ),
        "last rows of W": Deviation(
            "score",
            "a shorter source uses the last rows of W_a; it must use the first ones",
            "짧은 원문이 W_a의 앞 행이 아니라 마지막 행들을 씁니다",
        ),
        **_TANH,
        **attending.COMMON,
    },
    signature="def attention(query, keys, W, mask=None): return context, weights  # W: [longest source, features]",
    sizes=({"dq": 7, "dk": 11, "r": 29, **_TIED},),
    layouts=(Layout({"W": ("r", "dq")}),),
    names=_NAMES,
    unbounded=True,
)

"""The additive score of two papers, and its mistakes."""

from collections.abc import Callable

import torch
from torch import Tensor

from attentio.grading.paper import Deviation, Given, Has, Layout


def additive(given: Given, has: Has) -> Tensor:
    """v . tanh(W s + U h), for queries s [b, q, dq] and annotations h [b, k, dk]."""
    w, u, v = given["W"], given["U"], given["v"]
    state, memory = given["query"], given["key"]
    if has("W and U swapped") and w.shape == u.shape:
        w, u = u, w
    if has("concat order"):
        both = torch.cat([w, u], 1)
        u, w = both[:, : u.shape[1]], both[:, u.shape[1] :]
    if has("W transposed") and w.shape[0] == w.shape[1]:
        w = w.T
    if has("U transposed") and u.shape[0] == u.shape[1]:
        u = u.T
    if has("states swapped") and state.shape == memory.shape:
        state, memory = memory, state
    of_state, of_memory = ("U", "W") if has("W and U swapped") else ("W", "U")
    s, h = state @ w.T + given.get(f"{of_state}.bias", 0), memory @ u.T + given.get(f"{of_memory}.bias", 0)
    if has("W missing") and state.shape[-1] == s.shape[-1]:
        s = state
    if has("U missing") and memory.shape[-1] == h.shape[-1]:
        h = memory
    if has("query ignored"):
        s = torch.zeros_like(s)
    if has("keys ignored"):
        h = torch.zeros_like(h)
    s, h = s[:, :, None], h[:, None] + given.get("b", 0)
    if has("tanh of each"):
        return (s.tanh() + h.tanh()) @ v
    total = s * h if has("product for sum") else s - h if has("difference for sum") else s + h
    if has("tanh outside"):
        return (total @ v + given.get("v.bias", 0)).tanh()
    shapes: dict[str, Callable[[Tensor], Tensor]] = {
        "tanh missing": torch.nn.Identity(),
        "relu": torch.relu,
        "sigmoid": torch.sigmoid,
    }
    shapes |= {"gelu": torch.nn.functional.gelu, "leaky relu": torch.nn.functional.leaky_relu}
    bent = next((shape for name, shape in shapes.items() if has(name)), torch.tanh)(total)
    if has("v missing"):
        return bent.sum(-1)
    if has("v missing, mean"):
        return bent.mean(-1)
    scores = bent @ v + given.get("v.bias", 0)
    if has("scaled"):
        scores = scores / len(v) ** 0.5
    return scores.tanh() if has("tanh twice") else scores


_SAID = {
    "tanh missing": ("there is no tanh", "tanh가 없습니다"),
    "relu": ("a ReLU stands where the tanh should be", "tanh 자리에 ReLU가 있습니다"),
    "sigmoid": ("a sigmoid stands where the tanh should be", "tanh 자리에 시그모이드가 있습니다"),
    "gelu": ("a GELU stands where the tanh should be", "tanh 자리에 GELU가 있습니다"),
    "leaky relu": ("a leaky ReLU stands where the tanh should be", "tanh 자리에 leaky ReLU가 있습니다"),
    "tanh outside": ("the tanh is taken after v, not before it", "tanh를 v를 곱하기 전이 아니라 곱한 뒤에 합니다"),
    "tanh twice": ("a second tanh is taken of the score", "점수에 tanh를 한 번 더 합니다"),
    "query ignored": (
        "the decoder state has no effect on the weights: it is left out, or tanh is taken of both terms apart (what it "
        "adds is then the same for all keys, and the softmax cancels it)",
        "디코더 상태가 가중치에 아무 영향을 주지 않습니다. 빠졌거나, 두 항에 따로 tanh를 했습니다"
        "(그러면 모든 키에 같은 수가 더해져 소프트맥스에서 사라집니다)",
    ),
    "tanh of each": (
        "the tanh is taken of both terms apart; it must be of their sum",
        "두 항에 따로 tanh를 합니다. 합에 해야 합니다",
    ),
    "product for sum": (
        "the two projections are multiplied; they must be added",
        "두 투영을 곱합니다. 더해야 합니다",
    ),
    "difference for sum": (
        "the two projections are subtracted; they must be added",
        "두 투영을 뺍니다. 더해야 합니다",
    ),
    "v missing": (
        "the features are summed without v",
        "v 없이 특징을 그대로 더합니다",
    ),
    "v missing, mean": (
        "the mean over the features stands where v should be",
        "v 대신 특징의 평균을 씁니다",
    ),
    "W and U swapped": (
        "W multiplies the annotations and U the decoder state; it is the other way round",
        "W를 인코더 상태에, U를 디코더 상태에 곱합니다. 반대여야 합니다",
    ),
    "concat order": (
        "encoder and decoder state are concatenated as [h; s]; the paper's W is for [s; h]",
        "인코더와 디코더 상태를 [h; s] 순서로 잇습니다. 논문의 W는 [s; h]에 곱합니다",
    ),
    "W transposed": ("the matrix of the decoder state is transposed", "디코더 상태의 행렬이 전치되어 있습니다"),
    "U transposed": ("the matrix of the annotations is transposed", "인코더 상태의 행렬이 전치되어 있습니다"),
    "W missing": ("the decoder state is not projected", "디코더 상태를 투영하지 않습니다"),
    "U missing": ("the annotations are not projected", "인코더 상태를 투영하지 않습니다"),
    "keys ignored": ("the annotations have no effect on the scores", "인코더 상태가 점수에 아무 영향을 주지 않습니다"),
    "states swapped": (
        "decoder states and annotations are exchanged",
        "디코더 상태와 인코더 상태가 뒤바뀌었습니다",
    ),
    "scaled": (
        "the scores are divided by sqrt(features); this score has no scale",
        "점수를 sqrt(특징 수)로 나눕니다. 이 점수에는 스케일이 없습니다",
    ),
}
ADDITIVE = {name: Deviation("score", *said) for name, said in _SAID.items()}
"""The deviations that `additive` has switches for."""

SIZES = ({"dq": 7, "dk": 11, "a": 13, "dv": 17}, {"dq": 7, "dk": 7, "a": 7, "dv": 7})


def _split(first: str, second: str) -> Layout:
    """W and U side by side in one matrix."""

    def to_paper(given: Given) -> Given:
        both, middle = given["WU"], given[first]
        left, right = both[:, :middle], both[:, middle:]
        w, u = (left, right) if first == "dq" else (right, left)
        return {**given, "W": w, "U": u, "b": given.get("WU.bias", 0)}

    note = None if first == "dq" else "concat order"
    return Layout({"WU": ("a", f"{first}+{second}"), "v": ("a",)}, to_paper, note)


APART = Layout({"W": ("a", "dq"), "U": ("a", "dk"), "v": ("a",)})
LAYOUTS = (APART, _split("dq", "dk"), _split("dk", "dq"))

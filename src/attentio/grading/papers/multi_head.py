"""Vaswani et al. 2017, section 3.2.2: multi-head attention."""

import torch
from torch import Tensor

from attentio.grading.paper import Answer, Deviation, Given, Has, Layout, Paper
from attentio.grading.papers import attending
from attentio.grading.papers.scaled_dot_product import EQUATION, SCALES, scaled


def oracle(given: Given, has: Has) -> Answer:
    """Concat(head_1 .. head_h) W^O, head_i = attention(q W_i^Q, k W_i^K, v W_i^V).

    The matrices are kept as nn.Linear keeps them, [out, in], one head's rows after another's.
    """
    heads = given["heads"]
    keys_for = "Q" if has("Q for K") else "K"
    values_for = "K" if has("K for V") else "Q" if has("Q for V") else "V"
    query = _projected(given, "query", "K" if has("Q and K swapped") else "Q")
    key = _projected(given, "key", "Q" if has("Q and K swapped") else keys_for)
    value = _projected(given, "value", values_for)
    if has("key projected for value"):
        value = _projected(given, "key", "V") if given["key"].shape == given["value"].shape else value
    if has("no projections") and given["query"].shape == query.shape:
        query, key, value = given["query"], given["key"], given["value"]
    if has("one head"):
        heads = 1
    q, k, v = (_heads(one, heads, has) for one in (query, key, value))
    products = attending.dot(q, k, has)
    scores = scaled(products, has, width=q.shape[-1], key=k, model_width=query.shape[-1], heads=heads)
    keep = given["keep"]
    bias = given["bias"]
    inner = {
        **given,
        "bias": None if bias is None else bias[:, None],
        "keep": None if keep is None else keep[:, None],
        "key": k,
        "value": v,
        "query": q,
    }
    got = attending.answer(scores, inner, has)
    context = _merged(got["context"], has)
    if has("mean over heads"):
        context = got["context"].mean(1).repeat(1, 1, heads)
    if has("sum over heads"):
        context = got["context"].sum(1).repeat(1, 1, heads)
    if not has("O missing"):
        context = context @ (given["O"].T if has("O transposed") else given["O"]).T + given.get("O.bias", 0)
    if has("residual added") and context.shape == given["query"].shape:
        context = context + given["query"]
    if has("residual and norm added") and context.shape == given["query"].shape:
        context = torch.nn.functional.layer_norm(context + given["query"], context.shape[-1:])
    if has("ReLU at the end"):
        context = context.relu()
    return {"context": context, "weights": got["weights"], "mean weights": got["weights"].mean(1)}


def _projected(given: Given, role: str, matrix: str) -> Tensor:
    x = given[role]
    if given[matrix].shape[1] != x.shape[-1]:
        return x  # a mistake that these sizes cannot have
    return x @ given[matrix].T + given.get(f"{matrix}.bias", 0)


def _heads(x: Tensor, heads: int, has: Has) -> Tensor:
    """[b, n, h * d] to [b, h, n, d]."""
    batch, length, width = x.shape
    if has("split without transpose") or has("split and merged without transpose"):
        return x.reshape(batch, heads, length, width // heads)
    if has("heads interleaved"):
        return x.reshape(batch, length, width // heads, heads).permute(0, 3, 1, 2)
    return x.reshape(batch, length, heads, width // heads).transpose(1, 2)


def _merged(context: Tensor, has: Has) -> Tensor:
    """[b, h, n, d] to [b, n, h * d]."""
    batch, heads, length, width = context.shape
    if has("merged without transpose") or has("split and merged without transpose"):
        return context.reshape(batch, length, heads * width)
    if has("merged with heads last") or has("heads interleaved"):
        return context.permute(0, 2, 3, 1).reshape(batch, length, heads * width)
    return context.transpose(1, 2).reshape(batch, length, heads * width)


_SAID = {
    "split without transpose": (
        "the heads are cut by a view to [batch, heads, length, d] without a transpose: each head gets other positions "
        "instead of other features",
        "transpose 없이 view로 [배치, 헤드, 길이, d]를 만들어 헤드마다 다른 특징이 아니라 다른 위치를 받습니다",
    ),
    "split and merged without transpose": (
        "the heads are cut and joined by views without a transpose: each head gets other positions instead of other "
        "features",
        "transpose 없이 view로 헤드를 나누고 이어 헤드마다 다른 특징이 아니라 다른 위치를 받습니다",
    ),
    "merged without transpose": (
        "the heads are joined by a view without a transpose: positions and heads are mixed",
        "transpose 없이 view로 헤드를 이어 위치와 헤드가 섞입니다",
    ),
    "merged with heads last": (
        "the heads are joined with their features taking turns; they must stand one after another, as W^O expects",
        "헤드의 특징이 번갈아 이어집니다. W^O에 맞게 헤드끼리 차례로 이어야 합니다",
    ),
    "O missing": ("the output projection W^O is missing", "출력 투영 W^O가 없습니다"),
    "O transposed": ("the output projection W^O is transposed", "출력 투영 W^O가 전치되어 있습니다"),
    "K for V": ("the values are projected with W^K; it must be W^V", "값을 W^V가 아니라 W^K로 투영합니다"),
    "Q for V": ("the values are projected with W^Q; it must be W^V", "값을 W^V가 아니라 W^Q로 투영합니다"),
    "Q for K": ("the keys are projected with W^Q; it must be W^K", "키를 W^K가 아니라 W^Q로 투영합니다"),
    "Q and K swapped": (
        "the queries are projected with W^K and the keys with W^Q",
        "쿼리를 W^K로, 키를 W^Q로 투영합니다",
    ),
    "key projected for value": (
        "the values are made from the keys' input; they must be made from the values'",
        "값을 value 입력이 아니라 key 입력으로 만듭니다",
    ),
    "no projections": (
        "nothing is projected before the heads are cut",
        "헤드로 나누기 전에 아무것도 투영하지 않습니다",
    ),
    "one head": (
        "all features are one head; they are never cut into heads",
        "모든 특징이 헤드 하나입니다. 헤드로 나누지 않습니다",
    ),
    "mean over heads": ("the heads are averaged; they must be concatenated", "헤드를 평균합니다. 이어 붙여야 합니다"),
    "sum over heads": ("the heads are added; they must be concatenated", "헤드를 더합니다. 이어 붙여야 합니다"),
    "residual added": (
        "the input is added to the output (a residual connection), which belongs to the layer around it",
        "출력에 입력을 더합니다(잔차 연결). 그것은 바깥 층의 일입니다",
    ),
    "residual and norm added": (
        "the residual connection and the layer norm are inside; they belong to the layer around it",
        "잔차 연결과 층 정규화가 안에 있습니다. 그것은 바깥 층의 일입니다",
    ),
    "ReLU at the end": ("there is a ReLU after the output projection", "출력 투영 뒤에 ReLU가 있습니다"),
}
_LINES = {
    "K for V": "projections",
    "Q for V": "projections",
    "Q for K": "projections",
    "Q and K swapped": "projections",
    "key projected for value": "projections",
    "no projections": "projections",
}
_OWN = {name: Deviation(_LINES.get(name, "output"), *said) for name, said in _SAID.items()}
_HEADS_AXIS = Deviation(
    "weights",
    "the softmax runs over the heads; it must run over the keys",
    "소프트맥스가 헤드 축에서 계산됩니다. 키 축이어야 합니다",
)


def _cut_in_three(given: Given) -> Given:
    cut = dict(zip("QKV", given["QKV"].chunk(3), strict=True))
    if "QKV.bias" in given:
        cut |= dict(zip(("Q.bias", "K.bias", "V.bias"), given["QKV.bias"].chunk(3), strict=True))
    return {**given, **cut}


def _cut_by_head(given: Given) -> Given:
    """The rows of each head's query, key and value together."""

    def rows(packed: Tensor) -> Tensor:
        return packed.unflatten(0, (given["heads"], 3, -1)).transpose(0, 1).flatten(0, 2)

    packed: Given = {name: rows(given[name]) for name in ("QKV", "QKV.bias") if name in given}
    return _cut_in_three({**given, **packed})


MULTI_HEAD = Paper(
    name="multi-head",
    reference="Vaswani et al. 2017, section 3.2.2",
    equation={
        "projections": "q = query W^Q, k = key W^K, v = value W^V, cut into h heads of d_k features",
        **EQUATION,
        "output": "MultiHead = Concat(head_1 .. head_h) W^O",
    },
    oracle=oracle,
    deviations={
        **SCALES,
        **_OWN,
        "softmax over heads": _HEADS_AXIS,
        **attending.DOTS,
        **{name: one for name, one in attending.COMMON.items() if name != "query added"},
    },
    conventions={
        "heads interleaved": Deviation(
            "projections",
            "the heads' features take turns, where the paper's stand one after another",
            "헤드의 특징이 번갈아 놓입니다. 논문은 헤드끼리 차례로 둡니다",
        )
    },
    signature="def attention(query, key, value, W_Q, W_K, W_V, W_O, heads, mask=None): return context",
    sizes=({"d": 24, "i": 24, "heads": 3, "dq": 24, "dk": 24, "dv": 24},),
    layouts=(
        # i: the features of all heads together, h * d_k, most often d.
        Layout({"Q": ("i", "d"), "K": ("i", "d"), "V": ("i", "d"), "O": ("d", "i")}),
        Layout({"QKV": ("3*i", "d"), "O": ("d", "i")}, _cut_in_three),
        Layout({"QKV": ("3*i", "d"), "O": ("d", "i")}, _cut_by_head),
        Layout(
            {"Q": ("d", "d"), "K": ("d", "d"), "V": ("d", "d")},
            lambda given: {**given, "O": given["V"].flip(0)},  # any matrix: the module has none
        ),
    ),
    names={"h": ("heads",), "v": ("value",), "d": ("width",)},
    unbounded=True,
)

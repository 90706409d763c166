"""Vaswani et al. 2017, section 3.2.3: a position sees itself and what came before."""

import torch

from attentio.grading.paper import Answer, Deviation, Given, Has, Paper


def oracle(given: Given, has: Has) -> Answer:
    """keep[i, j] = j <= i + (k - q): the last query is the last key's position."""
    queries, keys = given["q"], given["k"]
    i, j = torch.arange(queries)[:, None], torch.arange(keys)[None]
    offset = 0 if has("aligned at the start") else keys - queries
    distance = j - i - offset
    keep = distance <= 0
    for name, other in (
        ("itself excluded", distance < 0),
        ("sees one ahead", distance <= 1),
        ("sees the future", distance >= 0),
        ("sees only the future", distance > 0),
        ("sees everything", torch.ones_like(keep)),
        ("sees only itself", distance == 0),
        ("sees only the previous one and itself", (distance <= 0) & (distance >= -1)),
    ):
        if has(name):
            keep = other
    if has("polarity"):
        keep = ~keep
    return {"mask": keep.double()}


CAUSAL_MASK = Paper(
    name="causal-mask",
    reference="Vaswani et al. 2017, section 3.2.3",
    equation={"mask": "position i may attend to j where j <= i + (keys - queries)"},
    oracle=oracle,
    deviations={
        "itself excluded": Deviation(
            "mask",
            "a position does not see itself: the diagonal is masked (and the first row sees nothing)",
            "자기 자신을 보지 못합니다. 대각선이 가려져 첫 행은 볼 것이 없습니다",
        ),
        "sees one ahead": Deviation(
            "mask", "each position sees one position of the future", "각 위치가 미래의 한 위치를 봅니다"
        ),
        "sees the future": Deviation(
            "mask",
            "each position sees itself and the future, not the past: triu and tril are exchanged",
            "과거가 아니라 자신과 미래를 봅니다. triu와 tril이 뒤바뀌었습니다",
        ),
        "sees only the future": Deviation(
            "mask",
            "each position sees only the future: the mask is the wrong way round",
            "미래만 봅니다. 마스크가 거꾸로입니다",
        ),
        "polarity": Deviation(
            "mask",
            "True means the opposite of what was declared: the mask is the wrong way round",
            "True의 뜻이 말한 것과 반대입니다. 마스크가 거꾸로입니다",
        ),
        "aligned at the start": Deviation(
            "mask",
            "with fewer queries than keys (a cache), the first query is taken to be at the first key; the last query "
            "must see the last key",
            "쿼리가 키보다 적을 때(캐시) 첫 쿼리를 첫 키의 위치로 봅니다. 마지막 쿼리가 마지막 키를 보아야 합니다",
        ),
        "sees everything": Deviation("mask", "nothing is masked", "아무것도 가리지 않습니다"),
        "sees only itself": Deviation("mask", "each position sees only itself", "각 위치가 자기 자신만 봅니다"),
        "sees only the previous one and itself": Deviation(
            "mask", "each position sees only itself and the one before", "각 위치가 자신과 바로 앞만 봅니다"
        ),
    },
    signature="def causal_mask(queries, keys): return mask  # or causal_mask(length)",
    kind="table",
)

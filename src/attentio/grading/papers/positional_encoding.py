"""Vaswani et al. 2017, section 3.5: sines and cosines."""

import torch
from torch import Tensor

from attentio.grading.paper import Answer, Deviation, Given, Has, Paper


def oracle(given: Given, has: Has) -> Answer:
    """PE(p, 2i) = sin(p / 10000^(2i/d)), PE(p, 2i+1) = cos(p / 10000^(2i/d))"""
    count, width = given["n"], given["d"]
    places = torch.arange(count, dtype=torch.float64)[:, None] + has("counted from 1")
    pairs = torch.arange(0, width, 2, dtype=torch.float64)
    sines, cosines = _angles(places, pairs, width, has), _angles(places, pairs, width, has)
    if has("cosine at 2i + 1"):
        cosines = _angles(places, pairs + 1, width, has)
    if has("exponent 4i / d"):
        sines = cosines = _angles(places, 2 * pairs, width, has)
    if has("exponent 4i / d, cosine at 2i + 1"):
        sines, cosines = _angles(places, 2 * pairs, width, has), _angles(places, 2 * (pairs + 1), width, has)
    if has("exponent i / d"):
        sines = cosines = _angles(places, pairs / 2, width, has)
    sine, cosine = sines.sin(), cosines.cos()
    if has("sine and cosine exchanged"):
        sine, cosine = cosine, sine
    if has("sines only"):
        cosine = sines.sin()
    table = torch.stack([sine, cosine], -1).flatten(1)
    if has("halves"):
        table = torch.cat([sine, cosine], 1)
    if has("scaled by sqrt(d)"):
        table = table * width**0.5
    added: Tensor = given["x"]
    if given["adds"]:
        if has("positions along the batch"):
            table = table[: added.shape[0]][:, None]
        if has("input scaled"):
            added = added * width**0.5
        table = (
            (added if has("not added") else added + table) if not has("replaces the input") else table.expand_as(added)
        )
    return {"table": table}


def _angles(places: Tensor, features: Tensor, width: int, has: Has) -> Tensor:
    base = 1000.0 if has("base 1000") else 100.0 if has("base 100") else 10000.0
    power = features / width
    if has("divided by d - 1"):
        power = features / (width - 1)
    if has("divided by d / 2 - 1"):
        power = (features / 2) / max(width // 2 - 1, 1)
    if has("multiplied by the frequency"):
        return places * base**power
    if has("base without power"):
        return (places / base).expand(-1, len(features))
    return places / base**power


_SAID = {
    "sine and cosine exchanged": (
        "the cosine stands at the even features and the sine at the odd ones",
        "짝수 특징에 코사인, 홀수 특징에 사인이 있습니다",
    ),
    "sines only": ("there is no cosine: all features are sines", "코사인이 없고 모든 특징이 사인입니다"),
    "cosine at 2i + 1": (
        "the cosines' exponent is (2i + 1) / d; sine and cosine of a pair have the same exponent 2i / d",
        "코사인의 지수가 (2i + 1) / d입니다. 한 쌍의 사인과 코사인은 지수 2i / d가 같습니다",
    ),
    "exponent 4i / d": (
        "the exponent is 4i / d; it must be 2i / d (2i is already the number of the feature)",
        "지수가 4i / d입니다. 2i / d여야 합니다(2i가 이미 특징의 번호입니다)",
    ),
    "exponent 4i / d, cosine at 2i + 1": (
        "the exponent is twice the feature's number over d; it must be 2i / d, where 2i is the pair's even feature",
        "지수가 특징 번호의 두 배를 d로 나눈 것입니다. 쌍의 짝수 번호 2i를 d로 나누어야 합니다",
    ),
    "exponent i / d": ("the exponent is i / d; it must be 2i / d", "지수가 i / d입니다. 2i / d여야 합니다"),
    "divided by d - 1": (
        "the exponent is 2i / (d - 1); it must be 2i / d",
        "지수가 2i / (d - 1)입니다. 2i / d여야 합니다",
    ),
    "divided by d / 2 - 1": (
        "the exponent is i / (d/2 - 1), as in tensor2tensor; the paper has 2i / d",
        "지수가 i / (d/2 - 1)입니다(tensor2tensor). 논문은 2i / d입니다",
    ),
    "base 1000": ("the base is 1000; it must be 10000", "밑이 1000입니다. 10000이어야 합니다"),
    "base 100": ("the base is 100; it must be 10000", "밑이 100입니다. 10000이어야 합니다"),
    "counted from 1": ("positions are counted from 1; they must be from 0", "위치를 1부터 셉니다. 0부터여야 합니다"),
    "multiplied by the frequency": (
        "the position is multiplied by 10000^(2i/d); it must be divided by it",
        "위치에 10000^(2i/d)를 곱합니다. 나누어야 합니다",
    ),
    "base without power": ("10000 has no exponent", "10000에 지수가 없습니다"),
    "scaled by sqrt(d)": ("the table is multiplied by sqrt(d)", "표에 sqrt(d)를 곱합니다"),
    "positions along the batch": (
        "positions are counted along the batch: the input is taken to have time first",
        "배치 방향으로 위치를 셉니다. 입력의 첫 축을 시간으로 봅니다",
    ),
    "input scaled": (
        "the input is multiplied by sqrt(d) here; the paper does that in the embedding (section 3.4)",
        "여기서 입력에 sqrt(d)를 곱합니다. 논문에서는 임베딩에서 합니다(3.4절)",
    ),
    "replaces the input": (
        "the encoding replaces the input; it must be added to it",
        "인코딩이 입력을 대신합니다. 더해야 합니다",
    ),
    "not added": (
        "the input is returned as it is: nothing is added",
        "입력을 그대로 돌려줍니다. 아무것도 더하지 않습니다",
    ),
}
POSITIONAL_ENCODING = Paper(
    name="positional-encoding",
    reference="Vaswani et al. 2017, section 3.5",
    equation={"table": "PE(p, 2i) = sin(p / 10000^(2i/d)), PE(p, 2i+1) = cos(p / 10000^(2i/d))"},
    oracle=oracle,
    deviations={name: Deviation("table", *said) for name, said in _SAID.items()},
    conventions={
        "halves": Deviation(
            "table",
            "all sines come first and then all cosines, as in the authors' code; the paper's take turns",
            "사인이 모두 앞에, 코사인이 모두 뒤에 있습니다(저자들의 코드와 같음). 논문은 번갈아 놓습니다",
        )
    },
    signature="def positional_encoding(length, width): return table  # or a module that adds it to x",
    kind="table",
)

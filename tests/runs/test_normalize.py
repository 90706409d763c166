"""Models with sparsemax and entmax: used, shown, described, refused where others cannot hold them."""

from typing import Any

import pytest
import torch
from untrained_runs import untrained

import attentio as at
from attentio.attention.entmax import NormalizeFunction

TRANSFORMER = {"encoder": "transformer", "decoder": "transformer"}
MODELS: list[tuple[dict[str, Any], str, NormalizeFunction]] = [
    ({"attention": "bahdanau"}, "sparsemax", at.Sparsemax()),
    ({"attention": "luong", "input_feeding": False}, "entmax", at.Entmax(1.5)),
    ({"attention": "delayed", "score": "dot"}, "entmax", at.Entmax(1.5)),
    (TRANSFORMER, "sparsemax", at.Sparsemax()),
]


@pytest.mark.parametrize(("model", "name", "normalize"), MODELS, ids=str)
def test_every_attention_of_a_model_normalizes_as_configured(
    seed: int, model: dict[str, Any], name: str, normalize: NormalizeFunction
) -> None:
    run = untrained(**model, normalize=name)
    inspected = run.inspect("abcdefgh ab")
    for one in inspected.seen:
        scores = one.scores if one.allowed is None else one.scores.masked_fill(~one.allowed, float("-inf"))
        kept = one.scores.float().abs().nan_to_num(posinf=0)
        rounding = 2**-10 * float(kept.max()) + 1e-3  # of float16
        torch.testing.assert_close(one.weights.float(), normalize(scores.float()), rtol=0, atol=rounding)
        assert one.alpha == {"sparsemax": 2.0, "entmax": 1.5}[name]
    assert inspected.walks is not None
    assert {walk.codes["normalize"] for walk in inspected.walks} == {f"α = {name}(score)"}
    assert f", {name}" in repr(run)


def test_the_doctor_takes_exact_zeros_for_what_they_are(seed: int) -> None:
    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = torch.nn.Embedding(11, 16)

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            x = self.embedding(tokens)
            return at.attend(x, x, x, mask=at.causal(), normalize=at.Entmax()).context

    found = at.diagnose(Model(), torch.randint(11, (2, 9)), causal=True)
    wrong = {"weights-not-normalized", "backends-disagree", "future-leak", "lost-gradient"}
    assert not wrong & {finding.check for finding in found.findings}

"""FlexAttention is for GPUs; on a CPU its uncompiled form shows that the masks mean the same to it."""

import pytest
import torch
from attention_oracle import attend_by_hand, inputs

import attentio as at
from attentio.attention.call import Call
from attentio.attention.engines import flex

MASKS = {
    "causal": (lambda: at.causal(), lambda b, h, i, j: j <= i + 2),
    "start": (lambda: at.causal(align="start"), lambda b, h, i, j: j <= i),
    "window": (lambda: at.window(1, 2), lambda b, h, i, j: -1 <= j - i - 2 <= 2),
    "padding": (lambda: at.padding(torch.tensor([7, 0])), lambda b, h, i, j: j < (7, 0)[b]),
    "segments": (
        lambda: at.segments(torch.arange(10).view(2, 5) % 2, torch.arange(14).view(2, 7) % 2),
        lambda b, h, i, j: (5 * b + i) % 2 == (7 * b + j) % 2,
    ),
    "keep, or not causal": (
        lambda: at.keep(torch.arange(3).view(1, 3, 1, 1) == 1) | ~at.causal(),
        lambda b, h, i, j: h == 1 or j > i + 2,
    ),
}


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("score", [at.Dot(), at.ScaledDot()])
def test_flex_reads_the_masks_as_the_equation_does(seed, monkeypatch, mask, score):
    # The checks of shapes at run time, in every test, cannot be traced by a compiler.
    monkeypatch.setattr(torch.nn.attention.flex_attention, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True)
    tensors, bias = inputs(), torch.randn(1, 3, 1, 7)
    make, may = MASKS[mask]
    found = flex.run(Call(*tensors, score, make(), bias, 0.0, False)).context
    scale = 1.0 if isinstance(score, at.Dot) else 11**-0.5
    compare = lambda a, b, j: scale * sum(x * y for x, y in zip(a, b, strict=True))  # noqa: E731
    expected, _ = attend_by_hand(*tensors, compare=compare, may=may, bias=bias)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)


def test_on_a_cpu_flex_says_why_it_does_not_run():
    assert "no backward pass" in at.explain(*inputs(), mask=at.causal()).others["flex"]

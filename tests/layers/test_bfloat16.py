"""Products in bfloat16: rounded, never anything else, and only where the processor has them."""

import copy
from collections.abc import Callable

import pytest
import torch
from untrained_runs import untrained

import attentio as at
from attentio.errors import AttentioError
from attentio.layers.bfloat16 import Bfloat16Linear, in_bfloat16, multiplies_bfloat16
from attentio.layers.linear import Linear
from attentio.layers.packed import PackedWeights
from attentio.runs.build import parameters_of

supported = pytest.mark.skipif(not multiplies_bfloat16(), reason="this processor has no instructions for bfloat16")
DATES = ["14 March 2026", "1 May 1987", "30.11.2020"]


@supported
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [(1,), (5, 1), (3, 7)])
def test_a_layer_is_off_by_what_rounding_makes(seed: int, bias: bool, rows: tuple[int, ...]) -> None:
    layer = Linear(37, 21, bias=bias)
    inputs = torch.randn(*rows, 37)
    exact = inputs.double() @ layer.weight.double().T + (layer.bias.double() if bias else 0)
    bound = (inputs.abs() @ layer.weight.abs().T + exact.abs() + (layer.bias.abs() if bias else 0)) * 2**-7
    for packed in (None, PackedWeights()):
        outputs = Bfloat16Linear(layer)(inputs, packed)
        assert outputs.dtype == torch.float32
        assert ((outputs - exact).abs() <= bound).all()
        assert not torch.equal(outputs, layer(inputs)), "float32, then"


@supported
def test_a_copy_is_rounded_and_the_output_layer_is_not(seed: int) -> None:
    model = untrained(encoder="transformer", decoder="transformer").model
    before = copy.deepcopy(model.state_dict())
    rounded = in_bfloat16(model, but=model.output)
    kinds = [type(module) for module in rounded.modules()]
    assert kinds.count(Linear) == 1
    assert rounded.output is model.output
    assert kinds.count(Bfloat16Linear) == [type(module) for module in model.modules()].count(Linear) - 1
    assert parameters_of(rounded) == parameters_of(model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@supported
@pytest.mark.parametrize("name", ["dates-transformer", "dates-luong", "dates-transformer,dates-transformer"])
def test_a_trained_model_says_the_same(name: str) -> None:
    run = at.load(name.split(","), device="cpu")
    for one, other in zip(run.translate(DATES), run.in_bfloat16().translate(DATES), strict=True):
        assert other.text == one.text
        assert other.score == pytest.approx(one.score, abs=0.02)


@supported
def test_the_command_takes_it_with_constraints(attentio: Callable) -> None:
    said = attentio("translate", "dates-transformer", "--engine", "bfloat16", "--prefix", "2", given=b"14 March 2026\n")
    assert (said.code, said.out, said.err) == (0, "2026-03-14\n", "")


def test_a_torch_without_onednn_multiplies_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not multiplies_bfloat16()


def test_a_processor_without_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attentio.layers.bfloat16.multiplies_bfloat16", lambda: False)
    with pytest.raises(AttentioError, match="no instructions for bfloat16"):
        untrained().in_bfloat16()

"""The Transformer's layers one by one: gradients, and what each must not do."""

import copy
import pickle

import pytest
import torch
from torch import nn

from attentio.attention.mask import causal, padding
from attentio.layers.feed_forward import FeedForward
from attentio.layers.linear import Linear
from attentio.layers.multihead import CrossAttention, Layout, SelfAttention
from attentio.layers.positions import RotaryPositions, alibi
from attentio.layers.transformer_block import TransformerBlock, make_norm

BATCH, POSITIONS, SOURCE, HEADS, WIDTH, MEMORY = 2, 5, 7, 6, 12, 11


def drawn(module):
    for parameter in module.double().parameters():
        nn.init.normal_(parameter, std=0.5)
    return module


def inputs(*shape):
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


def check(module, function, *arguments):
    """Gradients of the inputs and of every parameter against finite differences."""
    names, parameters = zip(*module.named_parameters(), strict=True)

    def call(*values):
        own, given = values[: len(names)], values[len(names) :]
        return torch.func.functional_call(_Calling(module, function), _prefixed(names, own), given)

    assert torch.autograd.gradcheck(call, (*parameters, *arguments), fast_mode=True)


class _Calling(nn.Module):
    """A module called in another way than by its forward."""

    def __init__(self, module, function):
        super().__init__()
        self.module, self.function = module, function

    def forward(self, *arguments):
        return self.function(self.module, *arguments)


def _prefixed(names, values):
    return {f"module.{name}": value for name, value in zip(names, values, strict=True)}


def layouts():
    """What self-attention may be told: nothing, a mask with an empty row, a bias, a rotation."""
    places = torch.arange(POSITIONS)
    rotation = RotaryPositions(WIDTH // HEADS).double()(places, torch.float64)
    return {
        "plain": Layout(),
        "causal": Layout(mask=causal()),
        "padding": Layout(mask=padding(torch.tensor([3, 0]))),
        "alibi": Layout(mask=causal(), bias=alibi(places, places, HEADS).double()),
        "rotary": Layout(mask=causal(), rotation=rotation),
    }


@pytest.mark.parametrize("kind", list(layouts()))
@pytest.mark.parametrize("groups", [None, 2])
def test_gradients_of_self_attention_are_those_of_finite_differences(seed, kind, groups):
    layer = drawn(SelfAttention(WIDTH, HEADS, key_value_heads=groups))
    check(layer, lambda m, x: m(x, layouts()[kind]).context, inputs(BATCH, POSITIONS, WIDTH))


@pytest.mark.parametrize("groups", [None, 3])
def test_gradients_of_cross_attention_are_those_of_finite_differences(seed, groups):
    layer = drawn(CrossAttention(WIDTH, HEADS, memory_features=MEMORY, key_value_heads=groups))
    mask = padding(torch.tensor([4, 0]))
    check(
        layer,
        lambda m, x, memory: m(x, m.prepare(memory, mask)).context,
        inputs(BATCH, POSITIONS, WIDTH),
        inputs(BATCH, SOURCE, MEMORY),
    )


@pytest.mark.parametrize("activation", ["relu", "relu-squared", "gelu", "gelu-tanh", "swiglu"])
@pytest.mark.parametrize("bias", [True, False])
def test_gradients_of_the_feed_forward_layer_are_those_of_finite_differences(seed, activation, bias):
    layer, x = drawn(FeedForward(WIDTH, 13, activation=activation, bias=bias)), inputs(BATCH, POSITIONS, WIDTH)
    if activation.startswith("relu"):  # which has no first or no second derivative at 0
        while layer.up(x).abs().min() < 1e-4:
            x = inputs(BATCH, POSITIONS, WIDTH)
    check(layer, lambda m, x: m(x), x)


@pytest.mark.parametrize("pre_norm", [True, False])
@pytest.mark.parametrize("norm", ["layer", "rms"])
def test_gradients_of_a_block_are_those_of_finite_differences(seed, norm, pre_norm):
    block = TransformerBlock(
        WIDTH,
        HEADS,
        feed_forward=13,
        memory_features=MEMORY,
        key_value_heads=3,
        activation="swiglu",
        norm=norm,
        pre_norm=pre_norm,
    )

    def call(m, x, memory):
        source = m.cross_attention.prepare(memory, padding(torch.tensor([4, 7])))
        return m(x, Layout(mask=causal()), source)[0]

    check(drawn(block), call, inputs(BATCH, POSITIONS, WIDTH), inputs(BATCH, SOURCE, MEMORY))


@pytest.mark.parametrize("norm", ["layer", "rms"])
def test_gradients_of_norms_are_those_of_finite_differences(seed, norm):
    check(drawn(make_norm(norm, WIDTH, 1e-5)), lambda m, x: m(x), inputs(BATCH, POSITIONS, WIDTH))


def test_turned_vectors_compare_by_how_far_they_are_apart(seed):
    """The same dot product wherever two positions stand, if they are equally far apart; and lengths stay."""
    rotary = RotaryPositions(10).double()
    query, key = torch.randn(2, 1, 1, 1, 10, dtype=torch.float64).expand(2, 1, 1, 17, 10)
    turned, turned_key = (rotary(torch.arange(17), torch.float64).turn(x)[0, 0] for x in (query, key))
    products = turned @ turned_key.T
    for apart in range(-16, 17):
        same = products.diagonal(apart)
        torch.testing.assert_close(same, same[:1].expand_as(same))
    torch.testing.assert_close(turned.norm(dim=1), query[0, 0].norm(dim=1))
    assert not torch.allclose(products[0], products[0, :1])


def test_asking_for_weights_does_not_change_attention(seed):
    layer = drawn(SelfAttention(WIDTH, HEADS, key_value_heads=2))
    x = inputs(BATCH, POSITIONS, WIDTH)
    for layout in layouts().values():
        asked, silent = layer(x, layout, need_weights=True), layer(x, layout)
        assert silent.weights is None
        assert asked.weights.shape == (BATCH, HEADS, POSITIONS, POSITIONS)
        torch.testing.assert_close(asked.context, silent.context)


@pytest.mark.parametrize("rows", [1, 2, 5, 300])
def test_linear_is_torchs_and_follows_its_weights(seed, rows):
    """Without gradients float32 weights are kept in another order; each change of them must be noticed."""
    layer, x = Linear(7, 11), torch.randn(rows, 3, 7)

    def assert_torchs():
        expected = nn.functional.linear(x, layer.weight, layer.bias)
        torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-5)

    with torch.no_grad():
        assert_torchs()
        layer.weight.mul_(2)
        assert_torchs()
        layer.load_state_dict({name: 3 * value for name, value in layer.state_dict().items()})
        assert_torchs()
        layer.weight = nn.Parameter(torch.randn(11, 7))
        assert_torchs()
    layer(x).square().sum().backward()
    mine = [layer.weight.grad.clone(), layer.bias.grad.clone()]
    layer.zero_grad()
    nn.functional.linear(x, layer.weight, layer.bias).square().sum().backward()
    for got, expected in zip(mine, (layer.weight.grad, layer.bias.grad), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


def test_linear_can_be_copied_and_pickled_after_use():
    layer, x = Linear(7, 11), torch.randn(5, 7)
    with torch.no_grad():
        expected = layer(x)
        assert torch.equal(copy.deepcopy(layer)(x), expected)
        assert torch.equal(pickle.loads(pickle.dumps(layer))(x), expected)


def test_alibi_is_made_where_its_positions_are():
    positions = torch.arange(5, device="meta")
    assert alibi(positions, positions, 4).device.type == "meta"

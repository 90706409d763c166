"""The drop-in against torch's own module, and the promises by which it differs."""

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, jacfwd, jacrev, jvp, vmap

import attentio as at

BATCH, HEADS, Q, K = 2, 3, 5, 7
WIDTH, K_WIDTH, V_WIDTH = 15, 11, 13

LAYOUTS = pytest.mark.parametrize("layout", ["batch_first", "positions_first", "one_sequence"])
WIDTHS = pytest.mark.parametrize("widths", [{}, {"kdim": K_WIDTH, "vdim": V_WIDTH}], ids=["one_width", "three_widths"])
BIAS = pytest.mark.parametrize("bias", [True, False])
MASKS = pytest.mark.parametrize("masks", ["none", "keys", "pairs", "heads", "keys+pairs", "keys+heads"])
POLICY = pytest.mark.parametrize("kind", ["bool", "float"])
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def both(layout="batch_first", dtype=torch.float64, **options):
    """torch's module, its parameters all drawn, and ours made of it."""
    theirs = nn.MultiheadAttention(WIDTH, HEADS, batch_first=layout == "batch_first", dtype=dtype, **options)
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.5)
    return theirs, at.MultiheadAttention.from_torch(theirs)


def draw_inputs(module, layout="batch_first", dtype=torch.float64):
    """Query, key and value of the module's widths."""
    inputs = []
    for length, width in ((Q, WIDTH), (K, module.kdim), (K, module.vdim)):
        shape = {
            "batch_first": (BATCH, length, width),
            "positions_first": (length, BATCH, width),
            "one_sequence": (length, width),
        }[layout]
        inputs.append(torch.randn(shape, dtype=dtype, requires_grad=True))
    return inputs


def draw_masks(masks, kind, layout, dtype):
    """Arguments of `forward`; key 0 is always left, since torch gives NaN where nothing is."""
    batch = 1 if layout == "one_sequence" else BATCH
    shapes = {"keys": (batch, K), "pairs": (Q, K), "heads": (batch * HEADS, Q, K)}
    arguments = {}
    for name in masks.split("+"):
        if name == "none":
            continue
        mask = torch.rand(shapes[name]) < 0.4
        mask[..., 0] = False
        if kind == "float":
            mask = torch.randn(shapes[name], dtype=dtype).masked_fill(mask, float("-inf"))
        if name == "keys" and layout == "one_sequence":
            mask = mask.squeeze(0)
        arguments["key_padding_mask" if name == "keys" else "attn_mask"] = mask
    return arguments


def assert_same(got, expected):
    tolerance = 1e-10 if expected.dtype == torch.float64 else 1e-4
    torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance)


@LAYOUTS
@WIDTHS
@BIAS
@MASKS
@POLICY
@DTYPES
def test_output_weights_and_gradients_are_torchs(seed, layout, widths, bias, masks, kind, dtype):
    theirs, ours = both(layout, dtype, bias=bias, **widths)
    inputs, arguments = draw_inputs(theirs, layout, dtype), draw_masks(masks, kind, layout, dtype)
    for choice in ({}, {"average_attn_weights": False}, {"need_weights": False}):
        (output, weights), (expected, expected_weights) = (m(*inputs, **arguments, **choice) for m in (ours, theirs))
        assert output.shape == expected.shape
        assert_same(output, expected)
        assert (weights is None) == (expected_weights is None)
        if weights is not None:
            assert_same(weights, expected_weights)
        cotangent = torch.randn_like(expected)
        got, right = (
            torch.autograd.grad(result, [*inputs, *module.parameters()], cotangent)
            for result, module in ((output, ours), (expected, theirs))
        )
        for mine, its in zip(got, right, strict=True):
            assert_same(mine, its)


@LAYOUTS
@BIAS
@DTYPES
def test_self_attention_in_one_product_is_torchs(seed, layout, bias, dtype):
    theirs, ours = both(layout, dtype, bias=bias)
    x = draw_inputs(theirs, layout, dtype)[0]
    output, weights = ours(x, x, x)
    expected, expected_weights = theirs(x, x, x)
    assert_same(output, expected)
    assert_same(weights, expected_weights)
    cotangent = torch.randn_like(output)
    for mine, its in zip(
        torch.autograd.grad(output, [x, *ours.parameters()], cotangent),
        torch.autograd.grad(expected, [x, *theirs.parameters()], cotangent),
        strict=True,
    ):
        assert_same(mine, its)


def test_a_bool_and_a_float_mask_go_together(seed):
    theirs, ours = both()
    inputs = draw_inputs(theirs)
    keys = draw_masks("keys", "bool", "batch_first", torch.float64)["key_padding_mask"]
    pairs = draw_masks("pairs", "float", "batch_first", torch.float64)["attn_mask"]
    as_float = torch.zeros(BATCH, K, dtype=torch.float64).masked_fill(keys, float("-inf"))
    expected = theirs(*inputs, key_padding_mask=as_float, attn_mask=pairs)[0]
    assert_same(ours(*inputs, key_padding_mask=keys, attn_mask=pairs)[0], expected)


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("kind", ["bool", "float"])
def test_causal_is_torchs_and_needs_no_mask_beside_it(seed, need_weights, kind):
    theirs, ours = both()
    query, key, value = draw_inputs(theirs)
    later = torch.ones(Q, K, dtype=torch.bool).triu(1)
    mask = later if kind == "bool" else torch.zeros(Q, K).double().masked_fill(later, float("-inf"))
    expected = theirs(query, key, value, attn_mask=mask, need_weights=need_weights, is_causal=True)[0]
    assert_same(ours(query, key, value, attn_mask=mask, need_weights=need_weights, is_causal=True)[0], expected)
    assert_same(ours(query, key, value, need_weights=need_weights, is_causal=True)[0], expected)


@pytest.mark.parametrize("need_weights", [True, False])
def test_a_wrong_causal_hint_changes_nothing(seed, need_weights):
    theirs, ours = both()
    inputs, masks = draw_inputs(theirs), draw_masks("pairs", "bool", "batch_first", torch.float64)
    expected = theirs(*inputs, **masks)[0]
    assert_same(ours(*inputs, **masks, need_weights=need_weights, is_causal=True)[0], expected)


@WIDTHS
@BIAS
def test_state_dicts_load_both_ways(seed, widths, bias):
    theirs, _ = both(bias=bias, **widths)
    ours = at.MultiheadAttention(WIDTH, HEADS, bias=bias, batch_first=True, dtype=torch.float64, **widths)
    ours.load_state_dict(theirs.state_dict())
    inputs = draw_inputs(theirs)
    assert_same(ours(*inputs)[0], theirs(*inputs)[0])
    again = nn.MultiheadAttention(WIDTH, HEADS, bias=bias, batch_first=True, dtype=torch.float64, **widths)
    again.load_state_dict(ours.state_dict())
    assert_same(again(*inputs)[0], theirs(*inputs)[0])


def test_a_new_module_starts_as_torchs_does(seed):
    for options in ({}, {"kdim": K_WIDTH, "vdim": V_WIDTH}):
        torch.manual_seed(seed)
        ours = at.MultiheadAttention(WIDTH, HEADS, **options)
        torch.manual_seed(seed)
        theirs = nn.MultiheadAttention(WIDTH, HEADS, **options)
        for (name, mine), (its_name, its) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
            assert name == its_name
            torch.testing.assert_close(mine, its, rtol=0, atol=0)


def test_a_copy_keeps_mode_dtype_and_frozen_parameters_and_shares_nothing(seed):
    theirs = nn.MultiheadAttention(WIDTH, HEADS, dropout=0.3, dtype=torch.float64).eval()
    theirs.in_proj_weight.requires_grad_(False)
    ours = at.MultiheadAttention.from_torch(theirs)
    assert not ours.training
    assert ours.dropout == 0.3
    assert ours.in_proj_weight.dtype == torch.float64
    frozen = {name for name, parameter in ours.named_parameters() if not parameter.requires_grad}
    assert frozen == {"in_proj_weight"}
    nn.init.zeros_(theirs.out_proj.weight)
    assert ours.out_proj.weight.any()


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("kind", ["bool", "float"])
def test_a_query_with_nothing_to_attend_to_gives_zero_not_nan(seed, need_weights, kind):
    theirs, ours = both(bias=False)
    inputs = draw_inputs(theirs)
    nothing = torch.zeros(Q, K, dtype=torch.bool)
    nothing[2] = True
    mask = nothing if kind == "bool" else torch.zeros(Q, K).double().masked_fill(nothing, float("-inf"))
    output, weights = ours(*inputs, attn_mask=mask, need_weights=need_weights)
    assert (output[:, 2] == 0).all()
    assert weights is None or (weights[:, 2] == 0).all()
    rest = [0, 1, 3, 4]
    assert_same(output[:, rest], theirs(inputs[0][:, rest], *inputs[1:])[0])
    for gradient in torch.autograd.grad(output.square().sum(), [*inputs, *ours.parameters()]):
        assert gradient.isfinite().all()


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("kind", ["bool", "float"])
def test_nan_in_padding_reaches_no_query(seed, need_weights, kind):
    _, ours = both()
    query, key, value = (tensor.detach() for tensor in draw_inputs(ours))
    padding = (torch.arange(K) >= 4).expand(BATCH, K)
    mask = padding if kind == "bool" else torch.zeros(BATCH, K).double().masked_fill(padding, float("-inf"))
    expected = ours(query, key[:, :4], value[:, :4])[0]
    key[:, 4:], value[:, 4:] = float("nan"), float("inf")
    assert_same(ours(query, key, value, key_padding_mask=mask, need_weights=need_weights)[0], expected)


def test_asking_for_weights_changes_nothing(seed):
    """Neither output nor gradient, with every mask there is; in training without dropout as in evaluation."""
    _, ours = both()
    inputs = draw_inputs(ours)
    masks = draw_masks("keys+heads", "float", "batch_first", torch.float64)
    masks["attn_mask"][3] = float("-inf")
    cotangent = torch.randn(BATCH, Q, WIDTH, dtype=torch.float64)
    results = []
    for need_weights in (True, False):
        output = ours(*inputs, **masks, need_weights=need_weights)[0]
        results.append([output, *torch.autograd.grad(output, [*inputs, *ours.parameters()], cotangent)])
    for asked, not_asked in zip(*results, strict=True):
        assert_same(asked, not_asked)


def test_weights_are_returned_from_before_dropout(seed):
    """torch returns them after it, so that its rows do not sum to 1."""
    _, ours = both(dropout=0.5)
    inputs = draw_inputs(ours)
    output, weights = ours(*inputs, average_attn_weights=False)
    assert_same(weights.sum(dim=-1), torch.ones(BATCH, HEADS, Q).double())
    without, same_weights = ours.eval()(*inputs, average_attn_weights=False)
    assert_same(weights, same_weights)
    assert not torch.allclose(output, without)


def test_dropout_acts_in_training_mode_only_and_keeps_the_mean(seed):
    _, ours = both(dropout=0.3)
    query, key, value = draw_inputs(ours)
    expected = ours.eval()(query, key, value)[0]
    assert torch.equal(ours(query, key, value)[0], expected)
    ours.train()
    with torch.no_grad():
        many = (query.repeat(2000, 1, 1), key.repeat(2000, 1, 1), value.repeat(2000, 1, 1))
        for need_weights in (True, False):
            draws = ours(*many, need_weights=need_weights)[0].unflatten(0, (2000, BATCH))
            standard_error = draws.std(dim=0) / 2000**0.5
            assert ((draws.mean(dim=0) - expected).abs() < 6 * standard_error).all()


ENCODERS = pytest.mark.parametrize("norm_first", [False, True])


def encoders(*, norm_first=False, batch_first=True, layers=2):
    """torch's encoder, its parameters drawn, and a copy whose attentions are replaced."""
    layer = nn.TransformerEncoderLayer(
        12, 2, 17, dropout=0.0, batch_first=batch_first, norm_first=norm_first, dtype=torch.float64
    )
    stacks = [nn.TransformerEncoder(layer, layers, enable_nested_tensor=not norm_first and batch_first) for _ in "12"]
    for parameter in stacks[0].parameters():
        nn.init.normal_(parameter, std=0.5)
    stacks[1].load_state_dict(stacks[0].state_dict())
    for layer in stacks[1].layers:
        layer.self_attn = at.MultiheadAttention.from_torch(layer.self_attn)
    return stacks


@ENCODERS
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_replaced_in_torchs_encoder_it_gives_torchs_results(seed, norm_first, batch_first):
    """Training, evaluation with gradients, and evaluation without, where torch would take its fast path."""
    theirs, ours = encoders(norm_first=norm_first, batch_first=batch_first)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x = torch.randn(3, 7, 12, dtype=torch.float64)
    padding = torch.arange(7) >= torch.tensor([4, 7, 1]).unsqueeze(1)
    causal = nn.Transformer.generate_square_subsequent_mask(7, dtype=torch.float64)
    real = ~padding
    if not batch_first:
        x, real = x.transpose(0, 1), real.T
    for masks in ({}, {"src_key_padding_mask": padding}, {"mask": causal}):
        for train in (True, False):
            theirs.train(train), ours.train(train)
            expected, got = theirs(x, **masks)[real], ours(x, **masks)[real]
            assert_same(got, expected)
            for mine, its in zip(
                torch.autograd.grad(got.square().sum(), list(ours.parameters())),
                torch.autograd.grad(expected.square().sum(), list(theirs.parameters())),
                strict=True,
            ):
                assert_same(mine, its)
            with torch.no_grad():
                assert_same(ours(x, **masks)[real], theirs(x, **masks)[real])


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_torchs_fast_path_does_not_go_past_the_module(seed, monkeypatch):
    _, ours = encoders()
    calls = []
    forward = at.MultiheadAttention.forward
    monkeypatch.setattr(at.MultiheadAttention, "forward", lambda *a, **k: calls.append(1) or forward(*a, **k))
    with torch.no_grad():
        ours.eval()(torch.randn(3, 7, 12, dtype=torch.float64))
        assert len(calls) == 2
        ours(torch.randn(3, 7, 12).double(), src_key_padding_mask=torch.arange(7).expand(3, 7) > 4)
        assert len(calls) > 2


def test_replaced_in_torchs_decoder_it_gives_torchs_results(seed):
    layer = nn.TransformerDecoderLayer(12, 2, 17, dropout=0.0, dtype=torch.float64)
    theirs, ours = (nn.TransformerDecoder(layer, 2) for _ in "12")
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.5)
    ours.load_state_dict(theirs.state_dict())
    for layer in ours.layers:
        layer.self_attn = at.MultiheadAttention.from_torch(layer.self_attn)
        layer.multihead_attn = at.MultiheadAttention.from_torch(layer.multihead_attn)
    target, memory = torch.randn(5, 3, 12).double(), torch.randn(7, 3, 12).double()
    causal = nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64)
    padding = torch.zeros(3, 7).double().masked_fill(torch.arange(7) > 3, float("-inf"))
    masks = {"tgt_mask": causal, "memory_key_padding_mask": padding}
    assert_same(ours(target, memory, **masks), theirs(target, memory, **masks))
    assert_same(ours(target, memory, **masks, tgt_is_causal=True), theirs(target, memory, **masks))


def test_gradients_are_those_of_finite_differences(seed):
    _, ours = both(kdim=K_WIDTH, vdim=V_WIDTH)
    inputs = [tensor[:1, :3].detach().requires_grad_() for tensor in draw_inputs(ours)]
    mask = torch.tensor([[False, True, True], [True, True, True], [False, False, True]])
    for need_weights in (True, False):
        assert torch.autograd.gradcheck(
            lambda *x, asked=need_weights: ours(*x, attn_mask=mask, need_weights=asked)[0], inputs, fast_mode=True
        )


def test_it_runs_in_mixed_precision(seed):
    _, ours = both(dtype=torch.float32)
    inputs = draw_inputs(ours, dtype=torch.float32)
    masks = draw_masks("keys+pairs", "float", "batch_first", torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        for need_weights in (True, False):
            output = ours(*inputs, **masks, need_weights=need_weights)[0]
            output.float().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in ours.parameters())


@pytest.mark.parametrize("option", ["add_bias_kv", "add_zero_attn"])
def test_refused_options_say_why(option):
    with pytest.raises(ValueError, match=f"{option} must be False: it adds a key that stands at no position"):
        at.MultiheadAttention(WIDTH, HEADS, **{option: True})
    with pytest.raises(ValueError, match=f"{option} must be False"):
        at.MultiheadAttention.from_torch(nn.MultiheadAttention(WIDTH, HEADS, **{option: True}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_heads": 2}, "embed_dim must be a multiple of num_heads, got 15 and 2"),
        ({"num_heads": 0}, "embed_dim must be a multiple of num_heads, got 15 and 0"),
        ({"dropout": 1.0}, r"dropout must be a probability, at least 0 and below 1, got 1\.0"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        at.MultiheadAttention(**{"embed_dim": WIDTH, "num_heads": HEADS, **options})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"key": torch.zeros(7, 15)}, r"key must be \[batch, positions, 15\], got \[7, 15\]"),
        ({"value": torch.zeros(2, 7, 13)}, r"value must be \[batch, positions, 15\], got \[2, 7, 13\]"),
        ({"query": torch.zeros(15)}, r"query must be \[positions, 15\], got \[15\]"),
        (
            {"key_padding_mask": torch.zeros(7, 2, dtype=torch.bool)},
            r"key_padding_mask must have the shape \[2, 7\], got \[7, 2\]",
        ),
        ({"attn_mask": torch.zeros(7, 5)}, r"attn_mask must have the shape \[5, 7\], got \[7, 5\]"),
        ({"attn_mask": torch.zeros(2, 5, 7)}, r"attn_mask must have the shape \[6, 5, 7\], got \[2, 5, 7\]"),
        (
            {"attn_mask": torch.zeros(5, 7, dtype=torch.uint8)},
            r"attn_mask must be bool \(True = ignore\) or floating point \(added\), got torch.uint8",
        ),
    ],
)
def test_wrong_arguments_are_named(call, message):
    ours = at.MultiheadAttention(WIDTH, HEADS, batch_first=True)
    arguments = {"query": torch.zeros(2, 5, 15), "key": torch.zeros(2, 7, 15), "value": torch.zeros(2, 7, 15)}
    with pytest.raises(ValueError, match=message):
        ours(**{**arguments, **call})


@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")  # torch's module
@pytest.mark.parametrize("need_weights", [False, True])
def test_gradients_of_each_sample_are_those_of_torchs_module(seed, need_weights):
    theirs = nn.MultiheadAttention(16, 2, batch_first=True)
    ours = at.MultiheadAttention.from_torch(theirs)
    inputs = torch.randn(3, 40, 16)
    padding = torch.arange(40) >= torch.tensor([[40], [33], [7]])

    def of_each_sample(module):
        def loss(parameters, sample, padding):
            how = {"key_padding_mask": padding[None], "need_weights": need_weights}
            found = functional_call(module, parameters, (sample[None],) * 3, how)
            return sum(t.sin().sum() for t in found if t is not None)

        parameters = {name: parameter.detach() for name, parameter in module.named_parameters()}
        return vmap(grad(loss), (None, 0, 0))(parameters, inputs, padding)

    torch.testing.assert_close(of_each_sample(ours), of_each_sample(theirs), rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # torch's forward mode
@pytest.mark.parametrize("transform", [jacrev, jacfwd, lambda f: lambda x: jvp(f, (x,), (x.cos(),))])
def test_torch_func_transforms_it_as_it_transforms_torchs(seed, transform):
    theirs = nn.MultiheadAttention(16, 2, batch_first=True)
    ours = at.MultiheadAttention.from_torch(theirs)
    x = torch.randn(1, 8, 16)
    found, expected = (transform(lambda x: module(x, x, x)[0])(x) for module in (ours, theirs))  # noqa: B023
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)

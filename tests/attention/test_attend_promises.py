"""The silent mistakes of attention code, each against what attend promises instead, in every engine."""

import pytest
import torch
from attention_oracle import attend_by_hand, engines_for, inputs
from torch.nn import functional as F

import attentio as at

SCORES = {"dot": at.Dot(), "scaled": at.ScaledDot(), "additive": at.Additive(torch.linspace(-1, 1, 11))}

KEY, VALUE = 1, 2

every_score = pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
heads_or_none = pytest.mark.parametrize("heads", [None, 3])


def context_and_gradients(tensors, **arguments):
    tensors = [t.detach().clone().requires_grad_() for t in tensors]
    context = at.attend(*tensors, **arguments).context
    context.nan_to_num(0.0).square().sum().backward()
    return context.detach(), [t.grad for t in tensors]


@every_score
def test_true_in_a_mask_means_may_attend(seed, score):
    query, key, value = inputs(heads=None)
    arguments = {"score": score, "mask": at.keep(torch.arange(7).expand(5, 7) == 4)}
    for engine in engines_for(query, key, value, **arguments):
        context = at.attend(query, key, value, **arguments, engine=engine).context
        torch.testing.assert_close(context, value[:, 4:5].expand(2, 5, 13))


@heads_or_none
def test_causal_aligns_the_last_query_with_the_last_key_unless_told_otherwise(seed, heads):
    for q, k in ((5, 7), (7, 5), (5, 5), (1, 7)):
        tensors = inputs(heads=heads, q=q, k=k)
        end, _ = attend_by_hand(*tensors, may=lambda b, h, i, j, s=k - q: j <= i + s)
        start, _ = attend_by_hand(*tensors, may=lambda b, h, i, j: j <= i)
        for mask, expected in ((at.causal(), end), (at.causal(align="start"), start)):
            for engine in engines_for(*tensors, mask=mask):
                context = at.attend(*tensors, mask=mask, engine=engine).context
                torch.testing.assert_close(context.double(), expected, rtol=1e-4, atol=1e-5)


@every_score
@heads_or_none
@pytest.mark.parametrize("by", ["mask", "bias"])
def test_a_query_with_no_key_gets_context_zero_and_finite_gradients(seed, score, heads, by):
    tensors = inputs(heads=heads)
    allowed = torch.ones(5, 7, dtype=torch.bool)
    allowed[2] = False
    forbid = torch.zeros(5, 7).masked_fill(~allowed, float("-inf"))
    arguments = {"score": score} | ({"mask": at.keep(allowed)} if by == "mask" else {"bias": forbid})
    for engine in engines_for(*tensors, **arguments):
        context, gradients = context_and_gradients(tensors, **arguments, engine=engine)
        assert torch.equal(context[..., 2, :], torch.zeros_like(context[..., 2, :]))
        assert context[..., [0, 1, 3, 4], :].abs().min() > 0
        assert all(g.isfinite().all() for g in gradients)
        assert torch.equal(gradients[0][..., 2, :], torch.zeros_like(gradients[0][..., 2, :]))


def test_a_query_with_no_key_gets_weights_zero(seed):
    tensors = inputs()
    weights = at.attend(*tensors, mask=at.padding(torch.tensor([7, 0])), need_weights=True).weights
    torch.testing.assert_close(weights[0].sum(-1), torch.ones(3, 5))
    assert torch.equal(weights[1], torch.zeros(3, 5, 7))


@every_score
@heads_or_none
@pytest.mark.parametrize("poison", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("place", [KEY, VALUE], ids=["key", "value"])
def test_what_is_not_finite_in_padding_reaches_neither_context_nor_gradients(seed, score, heads, poison, place):
    tensors = inputs(heads=heads)
    poisoned = [t.clone() for t in tensors]
    poisoned[place][1, ..., 4:, :] = poison
    arguments = {"score": score, "mask": at.padding(torch.tensor([7, 4]))}
    for engine in engines_for(*tensors, **arguments):
        clean = context_and_gradients(tensors, **arguments, engine=engine)
        dirty = context_and_gradients(poisoned, **arguments, engine=engine)
        torch.testing.assert_close(dirty, clean)


@every_score
@heads_or_none
@pytest.mark.parametrize("place", [KEY, VALUE], ids=["key", "value"])
def test_what_is_not_finite_in_the_future_reaches_only_the_queries_that_see_it(seed, score, heads, place):
    tensors = inputs(heads=heads, q=7, k=7)
    poisoned = [t.clone() for t in tensors]
    poisoned[place][..., 5, 3] = float("nan")
    arguments = {"score": score, "mask": at.causal()}
    for engine in engines_for(*tensors, **arguments):
        clean, _ = context_and_gradients(tensors, **arguments, engine=engine)
        dirty, gradients = context_and_gradients(poisoned, **arguments, engine=engine)
        torch.testing.assert_close(dirty[..., :5, :], clean[..., :5, :])
        assert dirty[..., 5:, :].isnan().all()
        assert gradients[0][..., :5, :].isfinite().all()


@every_score
def test_nan_in_a_masked_key_leaves_the_weights_alone(seed, score):
    query, key, value = inputs()
    mask = at.padding(torch.tensor([7, 4]))
    clean = at.attend(query, key, value, score=score, mask=mask, need_weights=True).weights
    key[1, :, 4:] = value[1, :, 4:] = float("nan")
    dirty = at.attend(query, key, value, score=score, mask=mask, need_weights=True).weights
    torch.testing.assert_close(dirty, clean)
    key[1, :, 0] = float("nan")
    assert at.attend(query, key, value, score=score, mask=mask, need_weights=True).weights[1].isnan().all()


def test_an_exported_model_is_shielded_from_nan_too(seed):
    class Model(torch.nn.Module):
        def forward(self, query, key, value, lengths):
            return at.attend(query, key, value, mask=at.padding(lengths)).context

    query, key, value = inputs()
    arguments = (query, key, value, torch.tensor([7, 4]))
    exported = torch.export.export(Model(), arguments).module()
    expected = Model()(*arguments)
    key[1, :, 4:] = value[1, :, 4:] = float("nan")
    torch.testing.assert_close(exported(*arguments), expected)


def test_a_window_of_d_on_both_sides_is_2d_plus_1_tokens(seed):
    query, key = inputs(heads=None, q=11, k=11)[:2]
    one_hot = torch.eye(11).expand(2, 11, 11)
    offset = torch.arange(11) - torch.arange(11)[:, None]
    for engine in engines_for(query, key, one_hot, mask=at.window(2, 2)):
        context = at.attend(query, key, one_hot, mask=at.window(2, 2), engine=engine).context
        assert torch.equal(context != 0, (offset.abs() <= 2).expand(2, 11, 11))
        assert (context[0, 5] != 0).sum() == 5


def test_a_window_and_causal_never_sees_the_future(seed):
    query, key, value = inputs(q=7, k=7)
    mask = at.window(2, 3) & at.causal()
    other_key, other_value = key.clone(), value.clone()
    other_key[:, :, 4:], other_value[:, :, 4:] = torch.randn(2, 3, 3, 11), torch.randn(2, 3, 3, 13)
    for engine in engines_for(query, key, value, mask=mask):
        one = at.attend(query, key, value, mask=mask, engine=engine).context
        other = at.attend(query, other_key, other_value, mask=mask, engine=engine).context
        torch.testing.assert_close(other[:, :, :4], one[:, :, :4])
        assert not torch.allclose(other[:, :, 4:], one[:, :, 4:])


MASKS = {
    "none": None,
    "causal": at.causal(),
    "start": at.causal(align="start"),
    "padding": at.padding(torch.tensor([7, 0])),
    "window and padding": at.window(1, 2) & at.padding(torch.tensor([7, 4])),
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@every_score
@heads_or_none
def test_asking_for_weights_does_not_change_the_context(seed, mask, score, heads):
    tensors = inputs(heads=heads)
    bias = torch.randn(5, 7)
    for b in (None, bias):
        without = at.attend(*tensors, score=score, mask=mask, bias=b)
        with_ = at.attend(*tensors, score=score, mask=mask, bias=b, need_weights=True)
        assert without.weights is None
        torch.testing.assert_close(with_.context, without.context, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(with_.weights @ tensors[2], with_.context)


def test_returned_weights_are_from_before_dropout(seed):
    tensors = inputs()
    mask = at.padding(torch.tensor([7, 4]))
    dropped = at.attend(*tensors, mask=mask, dropout=0.5, need_weights=True)
    whole = at.attend(*tensors, mask=mask, need_weights=True)
    torch.testing.assert_close(dropped.weights, whole.weights)
    assert not torch.allclose(dropped.context, whole.context)


@every_score
def test_dropout_is_the_number_given_and_nothing_else(seed, score):
    query, key = inputs(heads=None, q=101, k=97)[:2]
    tensors = query, key, torch.eye(97).expand(2, 97, 97)
    for engine in engines_for(*tensors, score=score, dropout=0.3):
        weights = at.attend(*tensors, score=score, engine=engine).context
        assert torch.equal(at.attend(*tensors, score=score, engine=engine).context, weights)
        dropped = at.attend(*tensors, score=score, dropout=0.3, engine=engine).context
        torch.testing.assert_close(dropped, torch.where(dropped == 0, 0.0, weights / 0.7))
        assert 0.25 < (dropped == 0).float().mean() < 0.35


@heads_or_none
def test_more_padding_changes_nothing(seed, heads):
    query, key, value = inputs(heads=heads)
    mask = at.padding(torch.tensor([7, 4]))
    padded_key, padded_value = F.pad(key, (0, 0, 0, 6)), F.pad(value, (0, 0, 0, 6))
    for engine in engines_for(query, key, value, mask=mask):
        short = at.attend(query, key, value, mask=mask, engine=engine).context
        longer = at.attend(query, padded_key, padded_value, mask=mask, engine=engine).context
        torch.testing.assert_close(longer, short)


@pytest.mark.parametrize("options", [{}, {"need_weights": True}, {"score": "additive"}], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_on_meta_shapes_are_told_whatever_is_asked(options, dtype):
    x = torch.empty(2, 3, 5, 8, device="meta", dtype=dtype)
    options = options | ({"score": at.Additive(torch.empty(8, device="meta"))} if "score" in options else {})
    context, weights = at.attend(x, x, x, mask=at.causal(), **options)
    assert (context.shape, context.dtype) == ((2, 3, 5, 8), dtype)
    assert weights is None or weights.shape == (2, 3, 5, 5)

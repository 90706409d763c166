"""Tensors of a class of their own as masks and biases: torch's are said to be what they are, others are refused."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention.bias import causal_lower_right, causal_upper_left

import attentio as at


class Named(Tensor):
    """A class that adds nothing to what torch does."""


class Reversed(Tensor):
    """A class that gives torch's functions another meaning."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return super().__torch_function__(func, types, args, kwargs or {})


QUERY, KEY = torch.randn(2, 3, 5, 8), torch.randn(2, 3, 7, 8)
GIVEN = {
    "keep": at.keep,
    "mask": lambda given: at.attend(QUERY, KEY, KEY, mask=given),
    "bias": lambda given: at.attend(QUERY, KEY, KEY, bias=given),
    "attn_mask": lambda given: at.MultiheadAttention(8, 2)(QUERY[0], KEY[0], KEY[0], attn_mask=given),
}


@pytest.mark.parametrize("name", GIVEN)
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (causal_upper_left(5, 7), r"torch's CausalBias, which holds no numbers.*at\.causal\(align='start'\)"),
        (causal_lower_right(5, 7), r"torch's CausalBias, which holds no numbers.*at\.causal\(align='end'\)"),
        (torch.zeros(5, 7).as_subclass(Reversed), "Reversed, a tensor class whose meaning attentio does not know"),
    ],
    ids=["upper left", "lower right", "other"],
)
def test_a_tensor_that_is_not_its_numbers_is_refused(as_installed, name, given, message):
    with pytest.raises(ValueError, match=f"{name}.*{message}"):
        GIVEN[name](given)


def test_parameters_and_classes_that_add_nothing_are_their_numbers(as_installed, seed):
    bias, allowed = torch.randn(5, 7), torch.rand(5, 7) > 0.3
    expected = at.attend(QUERY, KEY, KEY, bias=bias, mask=at.keep(allowed)).context
    for given in (nn.Parameter(bias), bias.as_subclass(Named)):
        context = at.attend(QUERY, KEY, KEY, bias=given, mask=at.keep(allowed.as_subclass(Named))).context
        torch.testing.assert_close(context.as_subclass(Tensor), expected)

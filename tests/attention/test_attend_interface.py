"""What attend says about its choice and about a caller's mistakes, and what importing the package costs."""

import subprocess
import sys

import pytest
import torch
from attention_oracle import inputs

import attentio as at


def test_explain_names_the_engine_and_why_not_the_others():
    explanation = at.explain(*inputs(), score=at.Location(), need_weights=True)
    assert explanation.engine == "reference"
    assert "Location" in explanation.others["sdpa"]
    assert str(explanation).startswith("reference: ")
    assert "\n  not sdpa: " in str(explanation)


def test_explain_says_why_an_engine_that_could_is_not_the_fastest():
    short, long = (at.explain(*inputs(q=n, k=n)) for n in (13, 1009))
    assert short.engine == "short"
    assert "it could" in short.others["sdpa"]
    assert long.engine == "sdpa"
    assert "would leave the cache" in long.others["short"]


def test_an_engine_asked_for_by_name_is_the_one_that_runs():
    explanation = at.explain(*inputs(), engine="reference")
    assert explanation.engine == "reference"
    assert "asked for" in explanation.reason


BOOL = torch.ones(5, 7, dtype=torch.bool)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mask": BOOL}, r"mask must say.*bare Tensor; write at\.keep\(t\).*True = may attend"),
        ({"mask": BOOL.float()}, r"bare Tensor.*bias=t for numbers"),
        ({"mask": at.keep(BOOL[:, :5])}, r"5 queries and 7 keys in its last two axes, got \[5, 5\]"),
        ({"mask": at.padding(torch.tensor([7, 4, 3]))}, r"mask must broadcast.*\[2, 3, 5, 7\], got \[3, 1, 1, 7\]"),
        ({"bias": BOOL}, r"bias is added to the scores.*torch\.bool; write mask=at\.keep"),
        ({"bias": torch.zeros(7, 5)}, r"bias must broadcast.*got \[7, 5\]"),
        ({"dropout": 1.0}, "dropout must be a probability.*got 1.0"),
        ({"engine": "magic"}, "engine must be one of .*sdpa, .*reference, got 'magic'"),
        ({"engine": "sdpa", "need_weights": True}, 'engine="sdpa" cannot do this call: .*need_weights'),
        ({"score": at.Dot}, r"score must be an instance, got the class; write Dot\("),
        ({"score": at.Additive(torch.ones(13))}, r"vector must have one weight.*11 features, got \[13\]"),
        ({"score": at.Location(), "key": torch.zeros(2, 3, 17, 11), "value": torch.zeros(2, 3, 17, 1)},
         r"query must hold a score for each of the 17 keys.*\[2, 3, 5, 11\]"),
        ({"query": torch.zeros(5, 11)}, r"query must be floating point \[batch, q, d\].*\[5, 11\]"),
        ({"query": torch.zeros(2, 3, 5, 11, dtype=torch.long)}, r"query must be floating point.*int64"),
        ({"key": torch.zeros(2, 3, 7, 11).double()}, "key must have the dtype.*float32.*got torch.float64"),
        ({"key": torch.zeros(2, 2, 7, 11)}, r"key must have the batch.*\[2, 3, 5, 11\], got \[2, 2, 7, 11\]"),
        ({"key": torch.zeros(2, 3, 7, 10)}, r"same number of features.*\[2, 3, 5, 11\].*\[2, 3, 7, 10\]"),
        ({"value": torch.zeros(2, 3, 5, 13)}, r"value must have one row.*7 keys, got \[2, 3, 5, 13\]"),
    ],
)  # fmt: skip
def test_a_caller_s_mistake_is_named(as_installed, arguments, message):
    query, key, value = inputs()
    with pytest.raises(ValueError, match=message):
        at.attend(**({"query": query, "key": key, "value": value} | arguments))


def test_importing_the_package_waits_for_torch_only_when_a_name_is_used():
    code = (
        "import sys, attentio as at; assert 'torch' not in sys.modules;"
        "missing = [name for name in at.__all__ if getattr(at, name, None) is None or name not in dir(at)];"
        "assert not missing, missing; assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'atend'"):
        at.atend  # noqa: B018

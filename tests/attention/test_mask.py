"""Masks as tensors, as pictures, and what they say when misused."""

import numpy as np
import pytest
import torch

import attentio as at


def test_window_counts_the_tokens_before_and_after_and_itself():
    allowed = at.window(2, 1).materialize(7, 7)
    assert allowed.sum(-1).tolist() == [2, 3, 4, 4, 4, 4, 3]
    assert at.window(0, 0).materialize(5, 5).equal(torch.eye(5, dtype=torch.bool))


def test_a_mask_stands_where_its_own_tensors_are():
    lengths = torch.tensor([3, 2], device="meta")
    for mask in (at.causal() & at.padding(lengths), ~(at.padding(lengths) | at.causal()), at.padding(lengths)):
        assert mask.materialize(3, 3).device.type == "meta"
    assert at.causal().materialize(3, 3).device.type == "cpu"


def test_windows_and_causal_put_the_last_query_at_the_last_key():
    assert at.causal().materialize(2, 5).tolist() == [[True] * 4 + [False], [True] * 5]
    assert at.causal(align="start").materialize(2, 5).tolist() == [
        [True] + [False] * 4,
        [True] * 2 + [False] * 3,
    ]
    assert at.window(1, 0).materialize(1, 5).tolist() == [[False, False, False, True, True]]


def test_padding_is_the_same_for_every_query():
    allowed = at.padding(torch.tensor([3, 1])).materialize(7, 5)
    assert allowed.tolist() == [[[True] * 3 + [False] * 2], [[True] + [False] * 4]]


def test_segments_keep_packed_sequences_apart():
    allowed = at.segments(torch.tensor([[0, 0, 1]]), torch.tensor([[0, 1]])).materialize(3, 2)
    assert allowed.tolist() == [[[True, False], [True, False], [False, True]]]


def test_masks_combine_as_sets_do(seed):
    a, b = torch.rand(3, 5) < 0.5, torch.rand(3, 5) < 0.5
    both, either, not_a = (mask.materialize(3, 5) for mask in (
        at.keep(a) & at.keep(b), at.keep(a) | at.keep(b), ~at.keep(a)
    ))  # fmt: skip
    assert both.equal(a & b)
    assert either.equal(a | b)
    assert not_a.equal(~a)


@pytest.mark.parametrize("combine", [lambda a, b: a & b, lambda a, b: b | a])
def test_a_mask_without_heads_meets_one_with_heads_sequence_by_sequence(seed, combine):
    lengths, per_head = torch.tensor([5, 2, 0]), torch.rand(3, 3, 7, 5) < 0.5
    allowed = combine(at.padding(lengths), at.keep(per_head)).materialize(7, 5)
    real = (torch.arange(5) < lengths[:, None])[:, None, None, :]
    assert allowed.equal(combine(real.expand(3, 3, 7, 5), per_head))


def test_a_mask_draws_itself():
    assert str(at.causal() & at.window(1, 2)) == "\n".join(
        [
            "(causal(align='end') & window(before=1, after=2)): 6 queries (down), 6 keys (across), ■ = may attend",
            "■ · · · · ·",
            "■ ■ · · · ·",
            "· ■ ■ · · ·",
            "· · ■ ■ · ·",
            "· · · ■ ■ ·",
            "· · · · ■ ■",
        ]
    )


def test_a_picture_names_its_sequences_and_takes_the_size_the_mask_knows():
    assert str(at.padding(torch.tensor([2, 1])) | ~at.causal(align="start")) == "\n".join(
        [
            "(padding([2, 1]) | ~causal(align='start')): 2 queries (down), 2 keys (across), ■ = may attend",
            "sequence 0",
            "■ ■",
            "■ ■",
            "sequence 1",
            "■ ■",
            "■ ·",
        ]
    )


def test_a_large_mask_draws_a_small_picture():
    lines = str(at.keep(torch.ones(2, 5, 101, 103, dtype=torch.bool))).splitlines()
    assert lines[0].startswith("keep([batch 2, heads 5, q 101, k 103]): 101 queries (down), 103 keys (across)")
    assert lines[1:3] == ["sequence 0, head 0", "■ " * 16 + "…"]
    assert lines[18] == "⋮"
    assert lines[-1] == "and 7 more"


@pytest.mark.parametrize(
    "combine",
    [
        lambda a, b: a and b,
        lambda a, b: a or b,
        lambda a, b: not a,
        lambda a, b: a & b and b,
        lambda a, b: 1 if a else 2,
        lambda a, b: all([a, b]),
    ],
)
def test_a_mask_is_neither_true_nor_false(combine):
    with pytest.raises(TypeError, match=r"combine masks with & for `and`, \| for `or`, ~ for `not`"):
        combine(at.causal(), at.window(1, 1))


def test_lengths_may_be_a_list():
    for lengths in ([3, 1], (3, 1)):
        expected = at.padding(torch.tensor([3, 1]))
        assert at.padding(lengths).materialize(7, 5).equal(expected.materialize(7, 5))
    assert at.padding([]).materialize(7, 5).shape == (0, 1, 5)


def test_a_tensor_of_two_axes_says_that_it_is_queries_and_keys():
    """Also where there are as many sequences as queries."""
    square = torch.ones(5, 5, dtype=torch.bool)
    assert str(at.keep(square)).startswith("keep([q 5, k 5]): 5 queries (down)")
    assert str(at.keep(square[:, None, :])).startswith("keep([batch 5, q 1, k 5])")


@pytest.mark.parametrize("numbers", [torch.ones(3, 5), torch.ones(3, 5, dtype=torch.long)])
def test_numbers_are_not_a_mask(as_installed, numbers):
    with pytest.raises(ValueError, match=r"bool tensor in which True = may attend, got torch\.\w+; write keep\("):
        at.keep(numbers)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: at.causal(align="top"), "align must be \"end\" or \"start\", got 'top'"),
        (lambda: at.window(-1, 2), "whole numbers of at least 0; got -1 and 2"),
            (lambda: at.window(1.5, 0), "whole numbers of at least 0; got 1.5 and 0"),
            (lambda: at.segments([[0]], [[0]]), "query_ids must be a torch.Tensor, got list"),
            (lambda: at.segments(torch.ones(2, 3).bool(), torch.ones(2, 3).bool()), "query_ids must be whole numbers"),
            (lambda: at.keep([[True]]), "keep's tensor must be a torch.Tensor, got list"),
            (lambda: at.padding([1, 2]) & at.padding([1, 2, 3]), "for as many sequences, got 2 and 3"),
            (
                lambda: at.keep(torch.ones(1, 2, 5, 5).bool()) | at.keep(torch.ones(1, 3, 5, 5).bool()),
                "for as many heads, got 2 and 3",
            ),
        (lambda: at.padding(torch.ones(2, 5, dtype=torch.bool)), "lengths must be whole numbers.*keep"),
        (lambda: at.padding(torch.tensor([1.0])), "lengths must be whole numbers.*float32"),
        (lambda: at.segments(torch.zeros(2, 3), torch.zeros(2, 3)), "query_ids must be whole numbers"),
        (lambda: at.segments(torch.zeros(2, 3).long(), torch.zeros(5, 3).long()), "batch size, got 2 and 5"),
        (lambda: at.keep(torch.ones(5, dtype=torch.bool)), r"keep needs \[q, k\].*got \[5\]"),
        (lambda: at.causal() & torch.ones(2, 2, dtype=torch.bool), "bare Tensor; write keep"),
        (lambda: at.keep(torch.ones(2, 3, dtype=torch.bool)).materialize(2, 5), r"2 queries and 5 keys.*\[2, 3\]"),
        (
            lambda: at.segments(torch.zeros(2, 3).long(), torch.zeros(2, 5).long()).materialize(3, 7),
            r"key_ids must hold 7 positions, got shape \[2, 5\]",
        ),
    ],
)  # fmt: skip
def test_a_misused_mask_names_the_argument(as_installed, make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_window_counts_whole_numbers_of_any_kind_and_nothing_else(as_installed):
    assert at.window(np.int64(2), True).materialize(7, 7).equal(at.window(2, 1).materialize(7, 7))
    for before, after in ((None, 3), (2.0, 1), ("2", 1), (-1, 0)):
        with pytest.raises(ValueError, match="before and after count tokens, whole numbers"):
            at.window(before, after)

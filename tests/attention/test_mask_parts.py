"""What is known of a mask without making it: any part of it, and the keys outside of which nothing is allowed."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import attentio as at
from attentio.attention.mask_base import Pairs, with_heads


@st.composite
def masks(draw, q, k, depth=2):
    """Any mask for 3 sequences of 2 heads, and whether its key ranges are the smallest there are."""
    kinds = ["causal", "start", "window", "padding", "segments", "keep", "keys"] + ["and", "or", "not"] * (depth > 0)
    few = st.integers(0, 3)
    match draw(st.sampled_from(kinds)):
        case "causal":
            return at.causal(), True
        case "start":
            return at.causal(align="start"), True
        case "window":
            return at.window(draw(few), draw(few)), True
        case "padding":
            return at.padding(torch.tensor(draw(st.lists(st.integers(0, k), min_size=3, max_size=3)))), True
        case "segments":
            return at.segments(torch.randint(4, (3, q)), torch.randint(4, (3, k))), True
        case "keep":
            shape = draw(st.sampled_from([(q, k), (3, q, k), (1, q, k), (3, 2, q, k), (3, 1, q, 1)]))
            return at.keep(torch.rand(shape) < 0.3), True
        case "keys":
            return at.keep(torch.rand(3, 1, k) < 0.3), True
        case "not":
            return ~draw(masks(q, k, depth - 1))[0], False
        case "and":
            return draw(masks(q, k, depth - 1))[0] & draw(masks(q, k, depth - 1))[0], False
        case _:
            (left, one), (right, other) = draw(masks(q, k, depth - 1)), draw(masks(q, k, depth - 1))
            return left | right, one and other


@st.composite
def sized_masks(draw):
    torch.manual_seed(draw(st.integers(0, 2**31)))
    q, k = draw(st.integers(1, 11)), draw(st.integers(1, 11))
    return q, k, *draw(masks(q, k))


def whole(mask, q, k):
    return with_heads(mask.materialize(q, k)).expand(3, 2, q, k)


@settings(max_examples=200)
@given(sized_masks(), st.data())
def test_a_part_of_a_mask_is_the_part_of_the_whole(case, data):
    q, k, mask, _ = case
    i, j = (sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in (q, k))
    part = with_heads(mask.part(slice(*i), slice(*j), k - q))
    expected = whole(mask, q, k)[:, :, slice(*i), slice(*j)]
    assert part.expand(expected.shape).equal(expected)


@settings(max_examples=200)
@given(sized_masks())
def test_the_rule_for_one_pair_is_the_mask_s(case):
    q, k, mask, _ = case
    pairs = torch.meshgrid(*map(torch.arange, (3, 2, q, k)), indexing="ij")
    assert mask.allows(Pairs(*pairs, k - q)).equal(whole(mask, q, k))


@settings(max_examples=300)
@given(sized_masks(), st.integers(1, 5))
def test_nothing_is_allowed_outside_of_a_key_range_which_is_no_larger_than_needed(case, size):
    q, k, mask, smallest = case
    first = torch.arange(0, q, size)
    last = (first + size - 1).clamp(max=q - 1)
    start, stop = (edge.expand(3, -1).tolist() for edge in mask.key_ranges(first, last, q, k))
    allowed = whole(mask, q, k).any(1)
    for b in range(3):
        for block, (f, t) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
            keys = allowed[b, f : t + 1].any(0).nonzero().flatten().tolist()
            lo, hi = start[b][block], stop[b][block]
            assert all(lo <= key < hi for key in keys)
            if smallest:
                assert (lo, hi) == ((keys[0], keys[-1] + 1) if keys else (k, 0))


@settings(max_examples=200)
@given(sized_masks())
def test_a_mask_of_one_sequence_is_its_part_of_all(case):
    q, k, mask, _ = case
    sequences, heads = mask.sequences_and_heads()
    made = with_heads(mask.materialize(q, k))
    assert (sequences, heads) == (tuple(made.shape[:2]) if made.ndim == 4 else (1, 1))
    for b in range(3):
        one = with_heads(mask.of_sequence(b).materialize(q, k))
        assert one.expand(1, 2, q, k)[0].equal(whole(mask, q, k)[b])


@settings(max_examples=100)
@given(sized_masks())
def test_a_stationary_mask_repeats_along_the_diagonal(case):
    q, k, mask, _ = case
    if mask.is_stationary():
        allowed = mask.materialize(q, k)
        assert allowed[1:, 1:].equal(allowed[:-1, :-1])

import secrets

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from attentio.data.batches import EncodedPairs, RedrawnPairBatches, epoch_batches, length_sorted_batches
from attentio.data.pairs import Pair
from attentio.text.tokenizer import BOS, EOS, PAD, Tokenizer

id_rows = st.lists(st.lists(st.integers(4, 40_000), max_size=7), min_size=1, max_size=11)


def drawn_lengths(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.integers(1, 31, count), random.integers(1, 37, count)


@given(id_rows, st.data())
def test_rows_hold_the_tokens_and_then_padding(sources: list[list[int]], data: st.DataObject) -> None:
    targets = [[*row[::-1], 5] for row in sources]
    encoded = EncodedPairs(sources=sources, targets=targets)
    picks = data.draw(st.lists(st.integers(0, len(sources) - 1), min_size=1, max_size=5))
    batch = encoded.batch(np.array(picks))
    assert batch.indices.tolist() == picks
    assert batch.source.dtype == batch.target_input.dtype == batch.target_output.dtype == torch.int64
    assert batch.source.shape[1] == max(len(sources[i]) + 1 for i in picks)
    assert batch.target_input.shape == batch.target_output.shape
    for row, i in enumerate(picks):
        source_length, target_length = int(batch.source_lengths[row]), int(batch.target_lengths[row])
        assert batch.source[row, :source_length].tolist() == [*sources[i], EOS]
        assert batch.target_input[row, :target_length].tolist() == [BOS, *targets[i]]
        assert batch.target_output[row, :target_length].tolist() == [*targets[i], EOS]
        assert (batch.source[row, source_length:] == PAD).all()
        assert (batch.target_input[row, target_length:] == PAD).all()
        assert (batch.target_output[row, target_length:] == PAD).all()


def test_other_sentences_in_the_batch_change_nothing_but_padding() -> None:
    encoded = EncodedPairs(sources=[[7, 8], [9] * 11], targets=[[5], [6] * 13])
    alone, together = encoded.batch(np.array([0])), encoded.batch(np.array([0, 1]))
    assert together.source[0, :3].tolist() == alone.source[0].tolist() == [7, 8, EOS]
    assert together.target_input[0, :2].tolist() == alone.target_input[0].tolist() == [BOS, 5]
    assert together.source_lengths[0] == alone.source_lengths[0] == 3
    assert together.target_lengths[0] == alone.target_lengths[0] == 2


def test_lengths_count_the_end() -> None:
    encoded = EncodedPairs(sources=[[7, 8], []], targets=[[], [5]])
    assert encoded.source_lengths.tolist() == [3, 1]
    assert encoded.target_lengths.tolist() == [1, 2]
    assert len(encoded) == 2


def test_text_is_encoded_by_each_sides_tokenizer() -> None:
    pairs = [Pair("ab", "x y"), Pair("b", "y")]
    source = Tokenizer.train([pair.source for pair in pairs], kind="char")
    target = Tokenizer.train([pair.target for pair in pairs], kind="whitespace")
    batch = EncodedPairs.encode(pairs, source, target).batch(np.array([1, 0]))
    assert [source.decode(row) for row in batch.source.tolist()] == ["b", "ab"]
    assert [target.decode(row) for row in batch.target_output.tolist()] == ["y", "x y"]


def test_sides_of_different_numbers_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="equally many, got 2 and 1"):
        EncodedPairs(sources=[[5], [6]], targets=[[5]])


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), max_size=200),
    st.integers(1, 120),
    st.integers(0, 2**31),
    st.integers(0, 50),
)
def test_an_epoch_has_every_pair_once_within_the_budget(
    lengths: list[tuple[int, int]], batch_tokens: int, seed: int, epoch: int
) -> None:
    source = np.array([pair[0] for pair in lengths], dtype=np.int64)
    target = np.array([pair[1] for pair in lengths], dtype=np.int64)
    batches = epoch_batches(source, target, batch_tokens=batch_tokens, seed=seed, epoch=epoch)
    assert sorted(i for batch in batches for i in batch.tolist()) == list(range(len(lengths)))
    for batch in batches:
        widest = max(source[batch].max(), target[batch].max())
        assert len(batch) == 1 or len(batch) * widest <= batch_tokens


def test_batch_order_is_a_function_of_seed_and_epoch(seed: int) -> None:
    source, target = drawn_lengths(seed, 997)

    def order(seed: int, epoch: int) -> list[list[int]]:
        batches = epoch_batches(source, target, batch_tokens=211, seed=seed, epoch=epoch)
        return [batch.tolist() for batch in batches]

    first = order(seed, 3)
    np.random.seed(secrets.randbelow(2**31))  # the global state plays no part
    torch.rand(5)
    assert order(seed, 3) == first
    assert order(seed, 4) != first
    assert order(seed + 1, 3) != first


def test_epochs_mix_the_batches_anew(seed: int) -> None:
    source, target = drawn_lengths(seed, 499)
    compositions = [
        {frozenset(b.tolist()) for b in epoch_batches(source, target, batch_tokens=307, seed=seed, epoch=epoch)}
        for epoch in (0, 1)
    ]
    shared = compositions[0] & compositions[1]
    assert len(shared) < 0.1 * len(compositions[0])


def test_what_fits_in_one_batch_is_one_batch(seed: int) -> None:
    source, target = drawn_lengths(seed, 31)
    assert len(epoch_batches(source, target, batch_tokens=31 * 37, seed=seed, epoch=0)) == 1


def test_batches_do_not_come_in_order_of_length(seed: int) -> None:
    source, target = drawn_lengths(seed, 1_009)
    widths = [int(source[b].max()) for b in epoch_batches(source, target, batch_tokens=307, seed=seed, epoch=0)]
    assert widths != sorted(widths)
    assert widths != sorted(widths, reverse=True)


def test_bucketing_leaves_little_padding(seed: int) -> None:
    source, _ = drawn_lengths(seed, 10_007)
    batches = epoch_batches(source, source, batch_tokens=1_000, seed=seed, epoch=0)
    padded = sum(len(batch) * int(source[batch].max()) for batch in batches)
    assert padded < 1.1 * source.sum()
    assert len(batches) < 1.15 * source.sum() / 1_000


def test_a_pair_beyond_the_budget_stands_alone() -> None:
    source, target = np.array([3, 50, 3]), np.array([3, 2, 3])
    batches = epoch_batches(source, target, batch_tokens=10, seed=0, epoch=0)
    assert sorted(sorted(batch.tolist()) for batch in batches) == [[0, 2], [1]]


def test_decoding_batches_begin_with_the_longest(seed: int) -> None:
    lengths, _ = drawn_lengths(seed, 101)
    batches = length_sorted_batches(lengths, batch_size=7)
    flat = np.concatenate(batches)
    assert sorted(flat.tolist()) == list(range(101))
    assert lengths[flat].tolist() == sorted(lengths.tolist(), reverse=True)
    assert [len(batch) for batch in batches] == [7] * 14 + [3]


def test_pairs_that_are_redrawn_are_those_of_their_epoch_whatever_was_read_before(seed: int) -> None:
    plain = EncodedPairs(sources=[[5]] * 50, targets=[[6]] * 50)

    def draw(epoch: int) -> EncodedPairs:
        random = np.random.default_rng([seed, epoch])
        rows = [[7 + epoch] * int(random.integers(1, 20)) for _ in range(50)]
        return EncodedPairs(sources=rows, targets=rows)

    def read(batches: RedrawnPairBatches, epoch: int) -> list[list[list[int]]]:
        return [batches.load(some, epoch).source.tolist() for some in batches.epoch_batches(epoch)]

    once, again = (RedrawnPairBatches(plain, draw, batch_tokens=64, seed=seed) for _ in range(2))
    in_order = [read(once, epoch) for epoch in range(3)]
    assert [read(again, epoch) for epoch in (2, 0, 1)] == [in_order[epoch] for epoch in (2, 0, 1)]
    for epoch, batches in enumerate(in_order):
        assert {token for batch in batches for row in batch for token in row} == {7 + epoch, EOS, PAD}
        assert all(len(batch) == 1 or len(batch) * len(batch[0]) <= 64 for batch in batches)
    assert once.pairs is plain


def test_sizes_below_one_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="batch_tokens must be positive, got 0"):
        epoch_batches(np.array([1]), np.array([1]), batch_tokens=0, seed=0, epoch=0)
    with pytest.raises(ValueError, match="batch_size must be positive, got 0"):
        length_sorted_batches(np.array([1]), batch_size=0)

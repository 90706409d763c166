from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from attentio.data.batches import IGNORE_INDEX
from attentio.data.packing import PackedBatch, PackedTexts
from attentio.text.tokenizer import BOS, EOS, PAD, Tokenizer

TOKENIZER = Tokenizer.train(["abcdefgh "], kind="char")
documents = st.lists(st.text("abcdefgh ", max_size=23), min_size=1, max_size=9)
seeds = st.integers(0, 2**31)


def corpus(texts: list[str], *, block: int = 7, batch_tokens: int = 29, seed: int = 0) -> PackedTexts:
    return PackedTexts(texts, TOKENIZER, block=block, batch_tokens=batch_tokens, seed=seed)


def whole(packed: PackedTexts, epoch: int) -> PackedBatch:
    """All rows of the epoch, in order."""
    return packed.load(np.arange(len(packed)), epoch)


def laid(batch: PackedBatch) -> list[list[int]]:
    """The documents as their labels spell them, in the order they were laid."""
    stream = batch.labels[batch.inputs[1] >= 0].tolist()
    read: list[list[int]] = [[]]
    for token in stream:
        read[-1].append(token)
        if token == EOS:
            read.append([])
    assert read.pop() == []
    return read


def drawn_texts(seed: int, count: int) -> list[str]:
    random = np.random.default_rng(seed)
    return ["".join(random.choice(list("abcdefgh "), random.integers(0, 41))) for _ in range(count)]


@given(documents, st.integers(1, 29), seeds, st.integers(0, 5))
def test_every_token_but_the_begin_is_predicted_exactly_once(
    texts: list[str], block: int, seed: int, epoch: int
) -> None:
    packed = corpus(texts, block=block, seed=seed)
    read = laid(whole(packed, epoch))
    expected = [(*ids, EOS) for ids in TOKENIZER.encode_all(texts)]
    assert Counter(map(tuple, read)) == Counter(expected)


@given(documents, st.integers(1, 29), seeds)
def test_no_segment_crosses_documents_and_each_reads_what_it_is_to_predict(
    texts: list[str], block: int, seed: int
) -> None:
    batch = whole(corpus(texts, block=block, seed=seed), 0)
    tokens, segments, positions = (part.tolist() for part in batch.inputs)
    labels, before = batch.labels.tolist(), EOS
    for row in range(len(labels)):
        for i in range(block):
            if segments[row][i] == -1:
                assert row == len(labels) - 1
                assert (tokens[row][i], labels[row][i], positions[row][i]) == (PAD, IGNORE_INDEX, 0)
                continue
            begins = i == 0 or segments[row][i] != segments[row][i - 1]
            if begins:
                assert positions[row][i] == 0
                assert segments[row][i] == (0 if i == 0 else segments[row][i - 1] + 1)
            else:
                assert positions[row][i] == positions[row][i - 1] + 1
            # A document begins with BOS; one that a row has cut goes on with the last token predicted.
            assert tokens[row][i] == (BOS if before == EOS else before)
            assert begins or before != EOS
            assert begins == (before == EOS or i == 0)
            before = labels[row][i]
    assert before == EOS


@given(documents, st.integers(1, 29))
def test_rows_are_full_but_for_the_last(texts: list[str], block: int) -> None:
    packed = corpus(texts, block=block)
    batch = whole(packed, 0)
    size = sum(map(len, texts)) + len(texts)
    assert len(packed) == -(-size // block)
    assert batch.labels.shape == (len(packed), block)
    assert {part.dtype for part in (*batch.inputs, batch.labels)} == {torch.int64}
    assert batch.size == size == int((batch.labels != IGNORE_INDEX).sum())
    assert (batch.inputs[1][:-1] >= 0).all()


def test_an_epoch_has_every_row_once_in_batches_of_the_budget(seed: int) -> None:
    packed = corpus(drawn_texts(seed, 53), block=7, batch_tokens=29, seed=seed)
    batches = packed.epoch_batches(2)
    assert sorted(i for batch in batches for i in batch.tolist()) == list(range(len(packed)))
    assert {len(batch) for batch in batches[:-1]} == {4}
    assert [len(batch) for batch in corpus(["abc"] * 3, block=7, batch_tokens=5).epoch_batches(0)] == [1, 1]


def test_documents_and_rows_are_shuffled_by_seed_and_epoch(seed: int) -> None:
    texts = drawn_texts(seed, 97)
    packed = corpus(texts, seed=seed)
    orders = [laid(whole(packed, 0)), laid(whole(packed, 1)), laid(whole(corpus(texts, seed=seed + 1), 0))]
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert orders[0] != [[*ids, EOS] for ids in TOKENIZER.encode_all(texts)]
    again = corpus(texts, seed=seed)
    assert laid(whole(again, 0)) == orders[0]  # a fresh one, as after a resume

    def rows(packed: PackedTexts, epoch: int) -> list[list[int]]:
        return [batch.tolist() for batch in packed.epoch_batches(epoch)]

    assert rows(packed, 0) == rows(again, 0) != rows(packed, 1)
    assert rows(packed, 0) != rows(corpus(texts, seed=seed + 1), 0)


def test_the_rows_of_one_long_document_are_shuffled(seed: int) -> None:
    text = "".join(np.random.default_rng(seed).choice(list("abcdefgh"), 1_009))
    packed = corpus([text], block=11, batch_tokens=11, seed=seed)
    orders = [[int(batch[0]) for batch in packed.epoch_batches(epoch)] for epoch in (0, 1)]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(len(packed)))
    assert laid(whole(packed, 0)) == laid(whole(packed, 1)) == [[*TOKENIZER.encode(text), EOS]]


def test_a_row_is_the_same_in_every_batch_and_in_any_order_of_epochs(seed: int) -> None:
    packed = corpus(drawn_texts(seed, 31), seed=seed)
    everything = whole(packed, 3)
    whole(packed, 4)
    some = packed.load(np.array([5, 1]), 3)
    for part, full in zip((*some.inputs, some.labels), (*everything.inputs, everything.labels), strict=True):
        assert (part == full[[5, 1]]).all()


def test_sizes_below_one_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="block must be positive, got 0"):
        corpus(["a"], block=0)
    with pytest.raises(ValueError, match="batch_tokens must be positive, got 0"):
        corpus(["a"], batch_tokens=0)

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from attentio.config.schema import MaskingConfig
from attentio.data.batches import IGNORE_INDEX
from attentio.data.masked_texts import MaskedTexts
from attentio.errors import AttentioError
from attentio.text.tokenizer import BOS, EOS, MASK, PAD, UNK, Tokenizer

TOKENIZER = Tokenizer.train(["abcdefg h"], kind="char", mask=True)
documents = st.lists(st.text("abch ", min_size=1, max_size=23), min_size=1, max_size=7)


def corpus(
    texts: list[str], *, masking: MaskingConfig | None = None, block: int = 7, batch_tokens: int = 29, seed: int = 0
) -> MaskedTexts:
    return MaskedTexts(
        texts,
        TOKENIZER,
        masking=masking or MaskingConfig(rate=0.5),
        block=block,
        batch_tokens=batch_tokens,
        seed=seed,
    )


def drawn_texts(seed: int, count: int) -> list[str]:
    random = np.random.default_rng(seed)
    return ["".join(random.choice(list("abcdefg  "), random.integers(1, 41))) for _ in range(count)]


def restored(inputs: torch.Tensor, labels: torch.Tensor) -> list[list[int]]:
    return torch.where(labels == IGNORE_INDEX, inputs, labels).tolist()


@given(documents, st.integers(3, 13), st.sampled_from(["token", "word", "span"]))
def test_rows_are_the_documents_between_begin_and_end(texts: list[str], block: int, unit: str) -> None:
    rows = corpus(texts, block=block, masking=MaskingConfig(rate=0.5, unit=unit))  # type: ignore[arg-type]
    batch = rows.load(np.arange(len(rows)), 0)
    (inputs, lengths), labels = batch.inputs, batch.labels
    assert inputs.dtype == lengths.dtype == labels.dtype == torch.int64
    assert lengths.tolist() == rows.lengths.tolist()
    assert batch.size == sum(map(len, texts)) + 2 * len(rows)
    assert inputs.shape[1] == lengths.max() <= block
    contents = []
    for row, length in zip(restored(inputs, labels), lengths.tolist(), strict=True):
        assert (row[0], row[length - 1]) == (BOS, EOS)
        assert row[length:] == [PAD] * (len(row) - length)
        assert 0 < length - 2 <= block - 2
        contents.append(row[1 : length - 1])
    cut = [text[i : i + block - 2] for text in texts for i in range(0, len(text), block - 2)]
    assert contents == TOKENIZER.encode_all(cut)


def test_no_special_token_is_ever_asked_for(seed: int) -> None:
    texts = [*drawn_texts(seed, 31), "a☃☃b", "☃"]
    for unit in ("token", "word", "span"):
        rows = corpus(texts, masking=MaskingConfig(rate=1.0, unit=unit), seed=seed)  # type: ignore[arg-type]
        for indices in rows.epoch_batches(0):
            (inputs, _), labels, _ = rows.load(indices, 0)
            assert not torch.isin(labels, torch.tensor([UNK, BOS, EOS, MASK])).any()
            assert (inputs[labels != IGNORE_INDEX] > EOS).all()
            assert torch.isin(inputs[labels == IGNORE_INDEX], torch.tensor([PAD, UNK, BOS, EOS])).all()


def test_random_tokens_are_drawn_from_the_whole_ordinary_vocabulary(seed: int) -> None:
    rows = corpus(["a" * 3_001], masking=MaskingConfig(rate=1.0, mask=0.0, random=1.0), block=101, seed=seed)
    (inputs, _), labels, _ = rows.load(np.arange(len(rows)), 0)
    assert set(inputs[labels != IGNORE_INDEX].tolist()) == set(range(5, TOKENIZER.size))


def test_an_epoch_has_every_row_once_within_the_budget(seed: int) -> None:
    rows = corpus(drawn_texts(seed, 211), seed=seed, block=17, batch_tokens=53)
    for epoch in (0, 1):
        batches = rows.epoch_batches(epoch)
        assert sorted(i for batch in batches for i in batch.tolist()) == list(range(len(rows)))
        assert all(len(batch) * rows.lengths[batch].max() <= 53 for batch in batches)
    assert [b.tolist() for b in rows.epoch_batches(0)] != [b.tolist() for b in rows.epoch_batches(1)]


@pytest.mark.parametrize("unit", ["token", "word", "span"])
def test_holes_depend_on_seed_epoch_and_row_and_not_on_the_batch(unit: str, seed: int) -> None:
    texts = drawn_texts(seed, 53)
    masking = MaskingConfig(rate=0.4, unit=unit)  # type: ignore[arg-type]
    rows, same, other = (corpus(texts, masking=masking, seed=s, block=19) for s in (seed, seed, seed + 1))
    everything = np.arange(len(rows))
    (inputs, lengths), labels, _ = rows.load(everything, 5)
    for index in (0, 7, len(rows) - 1):
        (alone, _), asked, _ = same.load(np.array([index]), 5)
        length = int(lengths[index])
        assert alone[0].tolist() == inputs[index, :length].tolist()
        assert asked[0].tolist() == labels[index, :length].tolist()
    for changed in (rows.load(everything, 6), other.load(everything, 5)):
        assert (changed.labels != labels).any()
    assert (rows.load(everything, 5).labels == labels).all()


def test_a_word_is_asked_for_whole_up_to_the_end_of_the_row(seed: int) -> None:
    rows = corpus(drawn_texts(seed, 101), masking=MaskingConfig(rate=0.5, unit="word"), block=13, seed=seed)
    (inputs, lengths), labels, _ = rows.load(np.arange(len(rows)), 0)
    for row, asked, length in zip(
        restored(inputs, labels), (labels != IGNORE_INDEX).tolist(), lengths.tolist(), strict=True
    ):
        text = TOKENIZER.decode(row[1 : length - 1])
        for begin, end in word_bounds(text):
            assert len(set(asked[1 + begin : 1 + end])) == 1


def word_bounds(text: str) -> list[tuple[int, int]]:
    ends, begin = [], 0
    for word in text.split(" "):
        if word:
            ends.append((begin, begin + len(word)))
        begin += len(word) + 1
    return ends


def test_a_corpus_needs_a_mask_and_room() -> None:
    with pytest.raises(AttentioError, match="tokenizer must have a mask id: train it with mask=True"):
        MaskedTexts(
            ["a"], Tokenizer.train(["a"], kind="char"), masking=MaskingConfig(), block=7, batch_tokens=7, seed=0
        )
    with pytest.raises(ValueError, match="block must be at least 3, for a begin, a token and an end, got 2"):
        corpus(["a"], block=2)

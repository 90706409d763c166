"""Corruption for masked language models: the rates hold, and only ordinary tokens are touched (trap 21)."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attentio.config.schema import MaskingConfig
from attentio.data.batches import IGNORE_INDEX
from attentio.data.masking import Corrupted, corrupt, draws
from attentio.text.tokenizer import PAD

UNITS = ["token", "word", "span"]
MASK_ID = 4
ORDINARY = np.arange(5, 1_009)
ROWS, WIDTH = 4_099, 251  # over a million tokens


def drawn_text(seed: int, rows: int, width: int, *, starts: float = 0.6) -> tuple[np.ndarray, np.ndarray]:
    """Ordinary tokens, and where words begin."""
    random = np.random.default_rng(seed)
    return random.choice(ORDINARY, (rows, width)), random.random((rows, width)) < starts


def corrupted(
    tokens: np.ndarray, starts: np.ndarray, masking: MaskingConfig, seed: int, *, ordinary: np.ndarray = ORDINARY
) -> Corrupted:
    numbers = draws(np.arange(len(tokens)), tokens.shape[1], seed=seed, epoch=3)
    return corrupt(tokens, starts, masking, mask_id=MASK_ID, ordinary=ordinary, draws=numbers)


def words_of(starts: np.ndarray) -> np.ndarray:
    """The number of each position's word in its row, [rows, width]."""
    starts = starts.copy()
    starts[:, 0] = True
    return np.cumsum(starts, axis=1) - 1


@pytest.mark.parametrize("rate", [0.15, 0.43])
@pytest.mark.parametrize("unit", UNITS)
def test_rates_hold_over_a_million_tokens(unit: str, rate: float, seed: int) -> None:
    tokens, starts = drawn_text(seed, ROWS, WIDTH)
    masking = MaskingConfig(rate=rate, mask=0.7, random=0.2, unit=unit)  # type: ignore[arg-type]
    inputs, labels = corrupted(tokens, starts, masking, seed)
    asked = labels != IGNORE_INDEX
    if unit == "token":
        error = math.sqrt(rate * (1 - rate) / tokens.size)
    elif unit == "word":
        words = words_of(starts) + np.arange(ROWS)[:, None] * WIDTH
        sizes = np.bincount(words.ravel())
        error = math.sqrt(rate * (1 - rate) * (sizes**2).sum()) / tokens.size
    else:  # rows are independent
        error = asked.mean(axis=1).std() / math.sqrt(ROWS)
    assert abs(asked.mean() - rate) < 5 * error
    # Spans of words of 1 / 0.6 tokens, at most 10 words of them, share what happens to them.
    together = 1 if unit != "span" else 10 / 0.6
    other = 0.2 * (1 - 1 / len(ORDINARY))  # a random token may be the right one
    for share, expected in (
        ((inputs == MASK_ID)[asked].mean(), 0.7),
        (((inputs != MASK_ID) & (inputs != tokens))[asked].mean(), other),
        ((inputs == tokens)[asked].mean(), 1 - 0.7 - other),
    ):
        assert abs(share - expected) < 5 * math.sqrt(expected * (1 - expected) * together / asked.sum())


@pytest.mark.parametrize("unit", UNITS)
def test_every_position_of_a_row_is_as_likely(unit: str, seed: int) -> None:
    rate, rows, width = 0.2, 20_011, 37
    tokens, starts = drawn_text(seed, rows, width)
    masking = MaskingConfig(rate=rate, unit=unit, mean_span=40.0)  # type: ignore[arg-type]
    asked = corrupted(tokens, starts, masking, seed).labels != IGNORE_INDEX
    assert np.abs(asked.mean(axis=0) - rate).max() < 6 * math.sqrt(rate * (1 - rate) / rows)


@pytest.mark.parametrize("unit", UNITS)
@given(data=st.data())
def test_only_ordinary_tokens_are_asked_for_and_only_asked_ones_change(unit: str, data: st.DataObject) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    rows, width = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 13))
    tokens = random.integers(0, 23, (rows, width))
    starts = random.random((rows, width)) < 0.5
    ordinary = 1 + random.permutation(22)[:7]  # special ids lie among ordinary ones
    share = data.draw(st.floats(0, 1))
    masking = MaskingConfig(rate=data.draw(st.floats(0.01, 1)), mask=share, random=1 - share, unit=unit)  # type: ignore[arg-type]
    inputs, labels = corrupted(tokens, starts, masking, 7, ordinary=ordinary)
    asked = labels != IGNORE_INDEX
    assert inputs.shape == labels.shape == tokens.shape
    assert np.isin(tokens[asked], ordinary).all()
    assert (labels[asked] == tokens[asked]).all()
    assert (inputs[~asked] == tokens[~asked]).all()
    assert np.isin(inputs[asked], [*ordinary, MASK_ID]).all()


@pytest.mark.parametrize("unit", UNITS)
def test_padding_and_special_tokens_are_never_asked_for(unit: str, seed: int) -> None:
    tokens, starts = drawn_text(seed, 101, 31)
    tokens[:, 0], tokens[:, 17], tokens[:, 23:] = 2, 3, PAD
    tokens[:, 5] = 1  # UNK
    inputs, labels = corrupted(tokens, starts, MaskingConfig(rate=1.0, unit=unit), seed)  # type: ignore[arg-type]
    special = tokens < 5
    assert (labels[special] == IGNORE_INDEX).all()
    assert (inputs[special] == tokens[special]).all()
    assert (labels[~special] == tokens[~special]).all()  # rate 1 asks for everything else


def test_a_random_token_is_any_ordinary_one_and_never_special(seed: int) -> None:
    ordinary = np.arange(6, 40, 2)
    tokens = np.full((503, 499), 8)
    masking = MaskingConfig(rate=1.0, mask=0.0, random=1.0)
    inputs, _ = corrupted(tokens, tokens > 0, masking, seed, ordinary=ordinary)
    counts = np.bincount(inputs.ravel(), minlength=40)
    assert counts[ordinary].sum() == tokens.size
    expected = tokens.size / len(ordinary)
    assert np.abs(counts[ordinary] - expected).max() < 6 * math.sqrt(expected)


def test_no_token_stays_where_mask_and_random_leave_nothing(seed: int) -> None:
    tokens, starts = drawn_text(seed, 211, 101)
    inputs, _ = corrupted(tokens, starts, MaskingConfig(rate=1.0, mask=0.9, random=0.1), seed)
    stayed = (inputs == tokens).sum()
    expected = tokens.size * 0.1 / len(ORDINARY)  # drawn at random
    assert stayed < expected + 6 * math.sqrt(expected) + 6
    all_masked, _ = corrupted(tokens, starts, MaskingConfig(rate=1.0, mask=1.0, random=0.0), seed)
    assert (all_masked == MASK_ID).all()


@pytest.mark.parametrize("unit", ["word", "span"])
def test_a_word_is_asked_for_whole(unit: str, seed: int) -> None:
    tokens, starts = drawn_text(seed, 307, 101, starts=0.4)
    tokens[:, 0] = 2  # BOS
    starts[:, :2] = True
    masking = MaskingConfig(rate=0.3, unit=unit)  # type: ignore[arg-type]
    asked = corrupted(tokens, starts, masking, seed).labels != IGNORE_INDEX
    inside = ~starts[:, 1:]
    assert (asked[:, 1:] == asked[:, :-1])[inside].all()
    assert (asked[:, 1:] != asked[:, :-1]).any()


def test_tokens_of_a_word_meet_different_fates_and_those_of_a_span_the_same(seed: int) -> None:
    tokens, starts = drawn_text(seed, 307, 211, starts=0.3)
    for unit, alike in (("word", False), ("span", True)):
        masking = MaskingConfig(rate=0.02 if alike else 0.3, mask=0.5, random=0.0, unit=unit)  # type: ignore[arg-type]
        inputs, labels = corrupted(tokens, starts, masking, seed)
        pairs = (labels[:, 1:] != IGNORE_INDEX) & (labels[:, :-1] != IGNORE_INDEX) & ~starts[:, 1:]
        same = ((inputs == MASK_ID)[:, 1:] == (inputs == MASK_ID)[:, :-1])[pairs]
        assert len(same) > 50
        assert same.all() if alike else 0.4 < same.mean() < 0.6


@pytest.mark.parametrize("mean_span", [1.0, 3.0, 5.0, 1e6])
def test_span_lengths_are_geometric_up_to_ten(mean_span: float, seed: int) -> None:
    tokens, starts = drawn_text(seed, 2_003, 499, starts=1.0)
    rate = 0.02
    masking = MaskingConfig(rate=rate, unit="span", mean_span=mean_span)
    asked = corrupted(tokens, starts, masking, seed).labels != IGNORE_INDEX
    edges = np.diff(np.pad(asked[:, 1:-1], ((0, 0), (1, 1))).astype(int), axis=1)
    (rows, begins), (_, ends) = np.nonzero(edges == 1), np.nonzero(edges == -1)
    uncut = (begins > 0) & (ends < asked.shape[1] - 2)
    lengths = (ends - begins)[uncut]
    chance = (1 - 1 / mean_span) ** np.arange(10.0)
    chance /= chance.sum()
    mean = chance @ np.arange(1, 11)
    q = rate / (rate + mean * (1 - rate))  # that the next span follows without a gap
    one, two = chance[0] * (1 - q), (chance[1] + chance[0] ** 2 * q) * (1 - q)
    for length, expected in ((1, one), (2, two)):
        assert abs((lengths == length).mean() - expected) < 5 * math.sqrt(expected / len(lengths)) + 1e-9
    assert (lengths > 10).mean() < 2 * q  # two that touch
    assert len(rows) > 1_000


@pytest.mark.parametrize("unit", UNITS)
def test_a_row_is_corrupted_alike_in_every_batch(unit: str, seed: int) -> None:
    tokens, starts = drawn_text(seed, 13, 29)
    masking = MaskingConfig(rate=0.4, unit=unit)  # type: ignore[arg-type]

    def run(rows: list[int], width: int) -> Corrupted:
        numbers = draws(np.array(rows), width, seed=seed, epoch=2)
        batch = np.full((len(rows), width), PAD)
        batch[:, :29] = tokens[rows]
        begins = np.ones((len(rows), width), dtype=bool)
        begins[:, :29] = starts[rows]
        return corrupt(batch, begins, masking, mask_id=MASK_ID, ordinary=ORDINARY, draws=numbers)

    together, some = run(list(range(13)), 29), run([7, 2], 41)
    for whole, part in zip(together, some, strict=True):
        assert (part[:, :29] == whole[[7, 2]]).all()


def test_draws_are_a_function_of_seed_epoch_and_row(seed: int) -> None:
    rows = np.array([5, 0, 2**40])
    first = draws(rows, 11, seed=seed, epoch=1)
    assert (draws(rows, 11, seed=seed, epoch=1) == first).all()
    assert (draws(rows[::-1].copy(), 17, seed=seed, epoch=1)[::-1, :11] == first).all()
    for other in (draws(rows, 11, seed=seed + 1, epoch=1), draws(rows, 11, seed=seed, epoch=2)):
        assert (other != first).all()
    assert len(np.unique(first)) == first.size


def test_draws_are_uniform_and_independent(seed: int) -> None:
    numbers = draws(np.arange(499), 503, seed=seed, epoch=0)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    counts, _ = np.histogram(numbers, bins=100, range=(0, 1))
    expected = numbers.size / 100
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    assert abs(chi_squared - 99) < 6 * math.sqrt(2 * 99)
    centred = numbers - 0.5
    across_epochs = draws(np.arange(499), 503, seed=seed, epoch=1) - 0.5
    for left, right in (
        (centred[1:], centred[:-1]),
        (centred[:, 1:], centred[:, :-1]),
        (centred[..., 1:], centred[..., :-1]),
        (centred, across_epochs),
    ):
        assert abs((left * right).mean() * 12) < 6 / math.sqrt(left.size)


def test_a_batch_may_hold_no_question() -> None:
    tokens = np.array([[2, 1, 3]])  # BOS UNK EOS
    inputs, labels = corrupted(tokens, tokens > 0, MaskingConfig(rate=1.0), 0)
    assert (inputs == tokens).all()
    assert (labels == IGNORE_INDEX).all()

"""The data sets that come along: cmudict and dates."""

import datetime
import hashlib
import re
from importlib import resources

import pytest
from babel import Locale

from attentio.data import cmudict, dates

SPLITS = ("train", "dev", "test")


@pytest.fixture(scope="module")
def words() -> dict[str, list[tuple[str, str]]]:
    return {split: cmudict.pairs(split) for split in SPLITS}


def test_phones_have_no_stress(words: dict[str, list[tuple[str, str]]]) -> None:
    everything = [pair for split in SPLITS for pair in words[split]]
    assert ("hello", "HH AH L OW") in everything
    assert all(re.fullmatch(r"[A-Z]+( [A-Z]+)*", phones) for _, phones in everything)


def test_a_word_has_all_its_pronunciations_once(words: dict[str, list[tuple[str, str]]]) -> None:
    everything = [pair for split in SPLITS for pair in words[split]]
    assert len(set(everything)) == len(everything)
    assert {phones for word, phones in everything if word == "read"} == {"R EH D", "R IY D"}


def test_no_word_is_in_two_splits(words: dict[str, list[tuple[str, str]]]) -> None:
    vocabulary = {split: {word for word, _ in words[split]} for split in SPLITS}
    total = sum(map(len, vocabulary.values()))
    assert total == len(set.union(*vocabulary.values()))
    assert 0.015 < len(vocabulary["dev"]) / total < 0.025
    assert 0.045 < len(vocabulary["test"]) / total < 0.055


def test_the_split_of_a_word_never_changes(words: dict[str, list[tuple[str, str]]]) -> None:
    # SHA-256 mod 100, by another program: hello 20, water 1, aaron is in 0-1, 'm in 2-6.
    place = {word: split for split in SPLITS for word, _ in words[split]}
    assert [place[word] for word in ("hello", "water", "aaron", "'m")] == ["train", "dev", "dev", "test"]


def test_the_pairs_never_change(words: dict[str, list[tuple[str, str]]]) -> None:
    # Made by reading the same dictionary with another program. Whatever was trained or measured holds for these pairs.
    def digest(pairs: list[tuple[str, str]]) -> str:
        return hashlib.sha256("".join(f"{word}\t{phones}\n" for word, phones in pairs).encode()).hexdigest()

    assert {split: (len(words[split]), digest(words[split])) for split in SPLITS} == {
        "train": (125_244, "f226cf28f0b49db39852d0d1a5aaf85324013ebf79ad3cab5d3ea35897d6f249"),
        "dev": (2_849, "ac4142a55a58ba52fdcfc99dadefeb8afae9692015d5f236062a08240f794ef5"),
        "test": (6_767, "6e0b0bf6d3fa3f88b9ece7d634ce6fdb604f12b0b8bd58914b62068ae78dd4c3"),
    }


def test_the_licence_of_the_dictionary_lies_beside_it() -> None:
    licence = resources.files(cmudict).joinpath("LICENSE").read_text(encoding="utf-8")
    assert licence.startswith("Copyright (C) 1993-2015 Carnegie Mellon University.")


@pytest.mark.parametrize("pairs", [cmudict.pairs, dates.pairs])
def test_an_unknown_split_is_a_mistake(pairs: object) -> None:
    assert callable(pairs)
    with pytest.raises(ValueError, match="split must be train, dev or test, got 'valid'"):
        pairs("valid")


def test_dates_have_the_documented_sizes() -> None:
    assert [len(dates.pairs(split)) for split in SPLITS] == [20_000, 1_000, 1_000]
    assert len(dates.pairs("train", size=7)) == 7


def test_a_day_held_out_for_test_never_occurs_in_train(seed: int) -> None:
    days = {split: {target for _, target in dates.pairs(split, size=5_000, seed=seed)} for split in SPLITS}
    assert not days["train"] & days["test"]
    assert not days["train"] & days["dev"]
    assert not days["dev"] & days["test"]


def test_the_seed_decides_the_dates(seed: int) -> None:
    assert dates.pairs("train", size=50, seed=seed) == dates.pairs("train", size=50, seed=seed)
    assert dates.pairs("train", size=50, seed=seed) != dates.pairs("train", size=50, seed=seed + 1)
    assert dates.pairs("train", size=50, seed=seed) != dates.pairs("test", size=50, seed=seed)


def test_targets_are_days_of_two_centuries(seed: int) -> None:
    for _, target in dates.pairs("train", size=500, seed=seed):
        assert datetime.date.fromisoformat(target).isoformat() == target
        assert "1900" <= target[:4] <= "2099"


def test_the_year_stands_in_the_source_in_full(seed: int) -> None:
    for source, target in dates.pairs("dev", size=1_000, seed=seed):
        assert target[:4] in source


def test_no_written_date_can_be_read_as_another_day() -> None:
    readings: dict[str, str] = {}
    first = datetime.date(2011, 1, 1)  # 2011-2012: a leap year, and years that look like day and month
    for language in dates.LANGUAGES:
        locale = Locale.parse(language)
        for pattern in dates.formats(language):
            for offset in range(366 + 365):
                day = first + datetime.timedelta(offset)
                source = pattern.apply(day, locale)
                assert readings.setdefault(source, day.isoformat()) == day.isoformat(), source


def test_every_language_is_drawn(seed: int) -> None:
    written = "\n".join(source for source, _ in dates.pairs("train", size=20_000, seed=seed))
    for sign in ("년", "年", "января", "März", "mars", "de marzo", "gennaio", "de março", "maart", "stycznia"):
        assert sign in written
    assert len(dates.LANGUAGES) == 14

"""attentio compare --search: trials over ranges of keys, that can be stopped and gone on with."""

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from toy_pairs import OPTIONS, as_arguments, reverse, write_words

import attentio as at
from attentio.commands.searching import Trial, next_values
from attentio.config.space import Choices, Numbers, range_of
from attentio.errors import AttentioError


@pytest.mark.parametrize(
    ("written", "among"),
    [
        ("1e-4..1e-2 log", Numbers(1e-4, 1e-2, True)),
        ("16..64", Numbers(16, 64, False)),
        ("0..0.5", Numbers(0.0, 0.5, False)),
        (".5..1e1", Numbers(0.5, 10.0, False)),
        ("lstm, gru", Choices(("lstm", "gru"))),
        ("[null,m,p]", Choices(("null", "m", "p"))),
        ([True, None, 3], Choices(("true", "null", "3"))),
    ],
)
def test_ranges_are_numbers_or_choices(written: object, among: object) -> None:
    assert range_of("key", written) == among


@pytest.mark.parametrize("written", ["1..1", "2..1", "0..1 log", "lstm", "", "a,a", "a,,b", "1..", "1..2..3"])
def test_what_is_no_range_is_told(written: str) -> None:
    with pytest.raises(AttentioError, match=r"^--search key: "):
        range_of("key", written)


def test_what_is_tried_next_keeps_to_the_ranges_and_learns_from_the_others() -> None:
    space = {"a": Numbers(1e-4, 1e-1, True), "b": Numbers(3, 9, False), "c": Choices(("x", "y"))}
    trials: list[Trial] = []
    for number in range(40):
        values = next_values(trials, space, seed=3)
        assert values == next_values(trials, space, seed=3)
        assert 1e-4 <= values["a"] <= 1e-1
        assert values["b"] in range(3, 10)
        goal = -abs(values["b"] - 4.0) - (values["c"] == "x")
        trials.append(Trial(number + 1, values, *(("failed", None) if number % 7 == 6 else ("finished", goal))))
    late = [trial.goal for trial in trials[20:] if trial.goal is not None]
    early = [trial.goal for trial in trials[:10] if trial.goal is not None]
    assert sum(late) / len(late) > sum(early) / len(early)
    assert next_values(trials[:5], space, seed=4) != next_values(trials[:5], space, seed=3)


def test_trials_are_runs_failed_ones_are_told_and_the_same_command_goes_on(attentio: Callable, tmp_path: Path) -> None:
    space = {"model.score": Choices(("dot", "mine.py:Score"))}
    seed = next(seed for seed in count() if _drawn(space, seed) == ["mine.py:Score", "dot"])
    data = write_words(tmp_path / "pairs.tsv", reverse, count=60, seed=1)
    few = {"training.max_steps": 2, "training.validate_every": 1, "training.validation_size": 5, "training.seed": seed}
    options = as_arguments(OPTIONS | few | {"data.train": data, "data.dev": data, "data.test": "null"})
    out = tmp_path / "out"
    command = ("compare", "luong", "--search", "model.score=dot,mine.py:Score", "--out", out, *options)
    said = attentio(*command, "--trials", 1)
    assert said.code == 2
    assert f"none of 1 trials was finished; {out / 'search.csv'} lists them" in said.err
    said = attentio(*command, "--trials", 2)
    assert said.code == 0, said.err
    kept = json.loads((out / "search.json").read_text())
    assert kept["config"]["training.seed"] == seed
    failed, finished = kept["trials"]
    assert (failed["state"], failed["exit_code"], failed["goal"]) == ("failed", 2, None)
    assert (finished["state"], finished["values"]) == ("finished", {"model.score": "dot"})
    assert finished["goal"] == finished["scores"]["exact"]
    assert "2 trials, of which 1 failed" in said.out
    run = at.load(out / "trial-002")
    assert run.config.model.score == "dot"
    assert [line.split(",")[:3] for line in (out / "search.csv").read_text().splitlines()] == [
        ["trial", "state", "model.score"],
        ["1", "failed", "mine.py:Score"],
        ["2", "finished", "dot"],
    ]
    again = attentio(*command, "--trials", 2)
    assert again.code == 0
    assert json.loads((out / "search.json").read_text()) == kept
    other = attentio(*command, "--model.hidden", 8, "--trials", 2)
    assert f"{out / 'search.json'} is of another search" in other.err


def _drawn(space: dict, seed: int) -> list[str]:
    first = next_values([], space, seed=seed)
    then = next_values([Trial(1, first, "failed")], space, seed=seed)
    return [values["model.score"] for values in (first, then)]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["luong", "--search", "data.train=a,b"], "keys of model. text. masking. training. are searched over"),
        (["luong", "--search", "training.max_steps=1..9"], "which are the same for all trials"),
        (["luong", "--search", "model.celll=lstm,gru"], "did you mean 'model.cell'?"),
        (["luong", "--search", "model.cell=lstm,gruu"], "did you mean 'gru'?"),
        (["luong", "--search", "model.dropout=0.1..2.0"], "model.dropout must be 0 or more, and below 1"),
        (["luong", "--search", "model.reach=3..9"], "model.reach does nothing here"),
        (["masked-lm", "--search", "text.block=8..16"], "the perplexities of other tokens cannot be compared"),
        (["g2p", "--search", "text.target.tokenizer=char,whitespace"], "per would count words in some trials and char"),
        (["luong", "none", "--search", "model.cell=lstm,gru"], "--search begins from one preset or file"),
        (["luong", "--trials", "3"], "--trials is for --search; leave it out"),
    ],
)
def test_a_search_that_cannot_be_is_told(attentio: Callable, words: list[str], told: str, tmp_path: Path) -> None:
    said = attentio("compare", *words, "--out", tmp_path / "out")
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert told in said.err
    assert not (tmp_path / "out").exists()


def test_a_file_says_what_is_searched(attentio: Callable, tmp_path: Path) -> None:
    path = tmp_path / "search.yaml"
    path.write_text("base: luong\nsearch: {model.cell: [lstm, gruu]}\n")
    assert "did you mean 'gru'?" in attentio("compare", path, "--out", tmp_path / "out").err
    path.write_text("base: luong\nsearch: {model.cell: [lstm, gru]}\nvariants: {}\n")
    assert "and `search` (key: range), nothing else" in attentio("compare", path, "--out", tmp_path / "out").err

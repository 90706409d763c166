"""Outputs that must begin, contain or not repeat something: the best of those that do, found by trying all."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from untrained_runs import untrained

import attentio as at
from attentio.decoding.search import gnmt_penalty
from attentio.errors import AttentioError
from attentio.runs import searcher
from attentio.runs.directory import Contents
from attentio.runs.ensemble import ensemble_of
from attentio.text.tokenizer import Tokenizer

FEW = Tokenizer.train(["abcd"], kind="char")
KINDS: list[dict[str, Any]] = [
    {"attention": "bahdanau"},
    {"encoder": "transformer", "decoder": "transformer"},
]


def run_of(kind: dict[str, Any] | None) -> at.Run:
    if kind is not None:
        return untrained(tokenizer=FEW, **kind)
    parts = [untrained(tokenizer=FEW, **kind) for kind in KINDS]
    return at.Run.of(ensemble_of([Contents(one.path, one.config, one.tokenizers, one.model) for one in parts]))


def repeats(text: str, n: int, skip: int) -> bool:
    """Whether a token after the prefix ends n that were said before."""
    grams = [text[i : i + n] for i in range(len(text) - n + 1)]
    return any(gram in grams[:i] for i, gram in enumerate(grams) if i + n > skip)


CASES = [
    at.Constraints(prefix="ba"),
    at.Constraints(require=["cd"]),
    at.Constraints(require=["da", "b"]),
    at.Constraints(require=["ab", "bc"]),
    at.Constraints(require=["aab"]),
    at.Constraints(no_repeat_ngram=1),
    at.Constraints(prefix="aa", no_repeat_ngram=2),
    at.Constraints(prefix="c", require=["ca", "d"], no_repeat_ngram=2),
]


@pytest.mark.parametrize("kind", [*KINDS, None], ids=["recurrent", "transformer", "together"])
def test_the_best_outputs_are_those_of_trying_all(
    seed: int, kind: dict[str, Any] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searcher, "EXTRA_OUTPUT_TOKENS", 4)
    run = run_of(kind)
    everything = ["".join(letters) for size in range(5) for letters in itertools.product("abcd", repeat=size)]
    scored = dict(zip(everything, run.score([("d", text) for text in everything]), strict=True))
    for case in CASES:
        allowed = [
            (one.log_prob / gnmt_penalty(len(one.ids), 1.0), text)
            for text, one in scored.items()
            if text.startswith(case.prefix)
            and all(word in text for word in case.require)
            and not (case.no_repeat_ngram and repeats(text, case.no_repeat_ngram, len(case.prefix)))
        ]
        expected = sorted(allowed, reverse=True)[:5]
        (found,) = run.candidates(["d"], n_best=5, beam=400, constraints=case)
        assert [one.text for one in found] == [text for _, text in expected], case
        assert [one.score for one in found] == pytest.approx([score for score, _ in expected], abs=1e-4)


@pytest.mark.parametrize("beam", [1, 2, 5])
def test_whatever_the_beam_outputs_are_as_asked(seed: int, beam: int) -> None:
    run = untrained(attention="luong")
    texts = ["abc", "hgfedcba", "a", "안녕 b"]
    asked = at.Constraints(prefix="c", require=["안녕", "fgh"], no_repeat_ngram=3)
    whole = run.candidates(texts, beam=beam, constraints=asked)
    for text, found in zip(texts, whole, strict=True):
        said = found[0].text
        assert said.startswith("c")
        assert "안녕" in said
        assert "fgh" in said
        assert not repeats("".join(found[0].tokens[:-1]), 3, 1)
        (alone,) = run.candidates([text], beam=beam, constraints=asked)
        assert alone[0].ids == found[0].ids
        assert alone[0].score == pytest.approx(found[0].score, abs=1e-4)


def test_no_constraints_change_nothing(seed: int) -> None:
    run = untrained(attention="luong")
    plain = run.candidates(["abc", "안녕"], n_best=3)
    for constraints in (at.Constraints(), at.Constraints(no_repeat_ngram=1000)):
        found = run.candidates(["abc", "안녕"], n_best=3, constraints=constraints)
        assert [[one.ids for one in each] for each in found] == [[one.ids for one in each] for each in plain]


def test_what_is_drawn_begins_and_repeats_as_asked(seed: int) -> None:
    run = untrained(attention="luong")
    for *_, found in [run.sample(["abcabc"], samples=30, constraints=at.Constraints(prefix="aba", no_repeat_ngram=2))]:
        for one in found:
            said = "".join(one.tokens[:-1])
            assert said.startswith("aba")
            assert not repeats(said, 2, 3)


def test_what_no_output_can_meet_is_said(seed: int) -> None:
    run = untrained(attention="luong")
    with pytest.raises(AttentioError, match=r"no output for 'a' was found that has what it must have; an output may"):
        run.translate(["a"]) and run.candidates(["a"], constraints=at.Constraints(require=["abcdefghabcdefgh"]))
    with pytest.raises(AttentioError, match=r"no output for 'a' was found"):
        run.sample(["abcdefgh", "a"], constraints=at.Constraints(prefix="abcdefghabcd"))
    with pytest.raises(AttentioError, match=r"^require 'aZ': .* does not know 'Z' \(character 2\)"):
        run.candidates(["a"], constraints=at.Constraints(require=["aZ"]))
    with pytest.raises(AttentioError, match="' ' cannot be required; give a word"):
        run.candidates(["a"], constraints=at.Constraints(require=[" "]))
    with pytest.raises(AttentioError, match="'abab' itself says 2 tokens in a row twice"):
        run.candidates(["a"], constraints=at.Constraints(require=["abab"], no_repeat_ngram=2))
    with pytest.raises(AttentioError, match="not of what is drawn"):
        run.sample(["a"], constraints=at.Constraints(require=["a"]))


def test_constraints_are_options_of_the_command_line(toy, attentio: Callable) -> None:
    words = ("--prefix", "h", "--require", "fed", "--require", "bb", "--no-repeat-ngram", "3")
    for run in (toy.run, f"{toy.run},{toy.run}"):
        said = attentio("translate", run, *words, given=b"abc\n\nfe\n")
        assert said.code == 0
        one, empty, other = said.out.splitlines()
        assert empty == ""
        assert all(line.startswith("h") and "fed" in line and "bb" in line for line in (one, other))
    impossible = attentio("translate", toy.run, "--require", "z", given=b"abc\n")
    assert (impossible.code, impossible.out) == (2, "")
    assert impossible.err.startswith("attentio: require 'z': the model's vocabulary does not know 'z' (character 1)")


@pytest.mark.parametrize(
    "words", [("--require", "abcdefghabcdefgh"), ("--sample", "--seed", "1", "--prefix", "abcdefghabcdefg")]
)
def test_a_line_that_cannot_have_what_it_must_is_named_and_may_be_skipped(
    toy, attentio: Callable, words: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    given, command = b"abcabcabc\n\na\nbcabcabc\n", ("translate", toy.run, "--max-length-ratio", "1", *words)
    said = attentio(*command, given=given)
    assert said.code == 2
    assert "<stdin>:3: no output for 'a' was found that has what it must have" in said.err
    said = attentio(*command, "--bad-lines", "skip", given=given)
    assert said.code == 0, said.err
    assert [bool(line) for line in said.out.split("\n")] == [True, False, False, True, False]
    assert [message for message in caplog.messages if message.startswith("skipped <stdin>:3: no output for 'a'")]
    assert "lines that are blank or were skipped, and so are their outputs: 2" in said.err
    alone = attentio(*command, given=b"abcabcabc\n")
    assert alone.out.splitlines() == said.out.splitlines()[:1]


@pytest.mark.parametrize("beam", [1, 4])
def test_a_beginning_in_jamo_keeps_its_last_syllable(seed: int, beam: int) -> None:
    tokenizer = Tokenizer.train(["가각갂나낙 ab"], kind="char", jamo=True)
    run = untrained(tokenizer=tokenizer, attention="luong")
    asked = at.Constraints(prefix="나가")
    found = run.candidates(["ab", "a", "bb"], beam=beam, n_best=beam, constraints=asked)
    drawn = run.sample(["ab", "a", "bb"], samples=20, seed=seed, constraints=asked)
    assert all(one.text.startswith("나가") for several in (*found, *drawn) for one in several)
    consonant = asked.of(tokenizer, str.strip).joining
    assert tokenizer.tokens(consonant) == [
        one for one in tokenizer.tokens(range(tokenizer.size)) if one in "\u11a8\u11a9"
    ]
    assert len(consonant) == 2


def test_white_space_at_the_end_of_a_beginning_is_a_part_of_it(seed: int) -> None:
    letters, words = Tokenizer.train(["new york"], kind="char"), Tokenizer.train(["new york"], kind="whitespace")
    asked = at.Constraints(prefix="new ")
    assert letters.decode(asked.of(letters, str.strip).prefix) == "new "
    assert words.decode(asked.of(words, str.strip).prefix) == "new"
    assert at.Constraints(prefix="  ").of(letters, str.strip).prefix == []

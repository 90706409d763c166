"""attentio score: the probability of given outputs, by forced decoding; and every token's probability as JSON."""

import json
import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from toy_texts import ROUND
from untrained_runs import SMALL, untrained

from attentio.commands.score import _written
from attentio.errors import AttentioError
from attentio.runs.outputs import Scored

KINDS = [{"attention": "bahdanau"}, {"encoder": "transformer", "decoder": "transformer"}]


@pytest.mark.parametrize("kind", KINDS)
def test_a_found_output_is_scored_as_when_it_was_found(seed: int, kind: dict[str, str]) -> None:
    run = untrained(**kind)
    texts = ["abc", "hgfedcba", "a", "안녕 b"]
    for found, text in zip(run.candidates(texts, n_best=4), texts, strict=True):
        pairs = [(text, one.text) for one in found]
        for one, scored in zip(found, run.score(pairs), strict=True):
            if scored.ids == one.ids:  # a text can be said with spaces at its end, which are read away
                assert scored.log_probs == pytest.approx(one.log_probs, abs=1e-4)
                assert scored.log_prob == pytest.approx(one.score * (5 + len(one.ids)) / 6, abs=1e-3)
                assert scored.perplexity == pytest.approx(math.exp(-one.log_prob / len(one.ids)), rel=1e-3)


def test_scores_do_not_depend_on_what_else_is_in_the_batch(seed: int) -> None:
    run = untrained(attention="luong")
    pairs = [("abc", "b"), ("a", "hgfedcba"), ("안녕", "안 녕"), ("fed", "")]
    apart = [run.score([pair])[0] for pair in pairs]
    for one, other in zip(run.score(pairs), apart, strict=True):
        assert one.tokens == other.tokens
        assert one.log_probs == pytest.approx(other.log_probs, abs=1e-5)


def test_a_causal_model_scores_every_token_of_a_text(seed: int) -> None:
    run = untrained(type="causal-lm")
    texts = ["abc", "h", "", "안녕 abcdefgh"]
    for text, scored in zip(texts, run.score(texts), strict=True):
        ids = [run.tokenizer.begin, *run.tokenizer.encode(text), run.end]
        with torch.no_grad():
            log_probs = run.model(torch.tensor([ids]))[0].double().log_softmax(-1)
        expected = [float(log_probs[place, token]) for place, token in enumerate(ids[1:])]
        assert scored.ids == ids[1:]
        assert scored.log_probs == pytest.approx(expected, abs=1e-4)


def test_a_line_of_scores_for_each_pair(toy, attentio: Callable) -> None:
    said = attentio("score", toy.run, given=b"abc\tcba\nabc\tccc\n")
    good, bad = ([float(column) for column in line.split("\t")] for line in said.out.splitlines())
    assert good[0] > bad[0]
    assert good[2] == pytest.approx(math.exp(-good[0] / 4), rel=1e-3)
    assert good[1] == pytest.approx(good[0] / 4, abs=1e-3)
    assert "of 8 tokens in all" in said.err


def test_blank_lines_stay_where_they_are_and_are_told(toy, attentio: Callable) -> None:
    said = attentio("score", toy.run, given=b"abc\tcba\n\n  \nab\tba\n")
    lines = said.out.split("\n")
    assert [bool(line) for line in lines] == [True, False, False, True, False]
    assert lines[3] == attentio("score", toy.run, given=b"ab\tba\n").out.strip()
    assert "lines that are blank or were skipped, which have no score: 2" in said.err.splitlines()


def test_every_tokens_probability_as_json(toy, attentio: Callable) -> None:
    translated = attentio("translate", toy.run, "--json", given=b"abcd\n\nhg\n").out.splitlines()
    found = [json.loads(line) for line in translated]
    assert [(one["line"], one["source"], len(one["outputs"])) for one in found] == [
        (1, "abcd", 1),
        (2, "", 0),
        (3, "hg", 1),
    ]
    pairs = "".join(f"{one['source']}\t{one['outputs'][0]['text']}\n" for one in found if one["outputs"])
    scored = [json.loads(line) for line in attentio("score", toy.run, "--json", given=pairs.encode()).out.splitlines()]
    for one, other in zip([found[0], found[2]], scored, strict=True):
        (output,) = one["outputs"]
        assert [token["token"] for token in output["tokens"]] == [*output["text"], "</s>"]
        assert output["log_prob"] == pytest.approx(sum(math.log(each["probability"]) for each in output["tokens"]))
        assert [each["token"] for each in other["tokens"]] == [each["token"] for each in output["tokens"]]
        assert other["log_prob"] == pytest.approx(output["log_prob"], abs=1e-4)
    best = attentio("translate", toy.run, "--json", "--n-best", "3", given=b"abcd\n").out
    assert len(json.loads(best)["outputs"]) == 3


def test_what_a_model_holds_impossible_is_valid_json() -> None:
    one = Scored(tokens=["a", "</s>"], ids=[4, 3], log_probs=[-math.inf, -1.0])
    line = _written(one, 1, "b", "a", as_json=True)
    row = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert (row["log_prob"], row["per_token"], row["perplexity"]) == (None, None, None)
    assert [token["probability"] for token in row["tokens"]] == pytest.approx([0.0, math.exp(-1)])
    assert _written(one, 1, "b", "a", as_json=False) == "-inf\t-inf\tinf"


def test_several_runs_score_together(toy, attentio: Callable) -> None:
    alone = attentio("score", toy.run, given=b"abc\tcba\n")
    assert attentio("score", f"{toy.run},{toy.run}", given=b"abc\tcba\n").out == alone.out


def test_texts_are_scored_by_causal_models_and_refused_by_masked_ones(causal, attentio: Callable) -> None:
    said = attentio("score", causal, given=f"{' '.join(ROUND[:4])}\n{' '.join([ROUND[0]] * 4)}\n".encode())
    likely, strange = (float(line.split("\t")[2]) for line in said.out.splitlines())
    assert likely < strange
    refused = attentio("score", "masked-lm", given=b"a\n")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "gives a text no probability" in refused.err


def test_bad_lines_and_unknown_text_are_told(toy, attentio: Callable) -> None:
    assert attentio("score", toy.run, given=b"abc\n").err == (
        "attentio: <stdin>:1: 1 column(s) where 2 are expected; write source, one tab, target\n"
    )
    assert (
        "'Z' (line 1, target, character 1): the model does not know it"
        in attentio("score", toy.run, given=b"abc\tZ\n").err
    )
    assert (
        "'Z' (line 1, source, character 2): the model does not know it"
        in attentio("score", toy.run, given=b"aZ\tba\n").err
    )


def test_a_pair_or_text_too_long_for_learnt_positions_is_told_by_its_line(seed: int) -> None:
    learnt = replace(SMALL, positions="learned", max_length=5)
    run = untrained(encoder="transformer", decoder="transformer", transformer=learnt)
    run.check_pair("abcd", "abcd", "<stdin>:1")
    with pytest.raises(AttentioError, match=r"^<stdin>:2: source: a sequence of 6 tokens, and the model has learnt 5"):
        run.check_pair("abcde", "abcd", "<stdin>:2")
    with pytest.raises(AttentioError, match=r"^<stdin>:3: target: a sequence of 6 tokens"):
        run.check_pair("abcd", "abcde", "<stdin>:3")
    run.score([("abcd", "abcd")])  # what passes has room
    causal = untrained(type="causal-lm", transformer=replace(learnt, max_length=256))
    causal.check_text("a" * 255, "<stdin>:1")
    causal.score(["a" * 255])
    with pytest.raises(AttentioError, match=r"^<stdin>:2: a sequence of 257 tokens"):
        causal.check_text("a" * 256, "<stdin>:2")


def test_bad_lines_may_be_skipped(toy, causal, attentio: Callable, caplog: pytest.LogCaptureFixture) -> None:
    given = b"abc\tcba\nno tab\nab\tba\n\xff\tb\n"
    assert attentio("score", toy.run, given=given).code == 2
    said = attentio("score", toy.run, "--bad-lines", "skip", given=given)
    assert said.code == 0, said.err
    assert [bool(line) for line in said.out.split("\n")] == [True, False, True, False, False]
    skipped = [message.split(":")[1] for message in caplog.messages if message.startswith("skipped <stdin>")]
    assert skipped == ["2", "4"]
    assert "lines that are blank or were skipped, which have no score: 2" in said.err.splitlines()
    said = attentio("score", causal, "--bad-lines", "skip", given=b"one two\n\xff\n")
    assert [bool(line) for line in said.out.split("\n")] == [True, False, False]

import random

import pytest

from attentio.errors import AttentioError
from attentio.evaluation.metrics import METRICS, check_metrics, score


def value(metric, hypotheses, references, **options):
    (only,) = score(hypotheses, references, metrics=[metric], **options)
    return only.value


def edit_distance(a, b):
    """The textbook recursion, row by row: the oracle."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]


@pytest.mark.parametrize("units", ["words", "characters"])
def test_per_equals_the_textbook_edit_distance_over_the_whole_corpus(seed, units):
    draw = random.Random(seed)
    alphabet = ["t͡ɕ", "a̠", "k̚", "어", "b"]
    hypotheses, references = (
        [" ".join(draw.choices(alphabet, k=draw.randrange(8))) for _ in range(23)] for _ in range(2)
    )
    split = str.split if units == "words" else list
    edits = sum(edit_distance(split(h), split(r)) for h, r in zip(hypotheses, references, strict=True))
    tokens = sum(len(split(r)) for r in references)
    assert value("per", hypotheses, [[r] for r in references], units=units) == pytest.approx(100 * edits / tokens)


def test_per_counts_against_the_nearest_reference():
    # One edit from the second reference, which has four tokens.
    assert value("per", ["a b c d"], [["x y", "a b c e", "q r s t u"]]) == 25.0


def test_per_of_equally_near_references_takes_the_lower_rate():
    assert value("per", ["a b"], [["a", "a b c"]]) == pytest.approx(100 / 3)
    assert value("per", ["a b"], [["a b c", "a"]]) == pytest.approx(100 / 3)


def test_wer_counts_sequences_with_any_error_and_not_words():
    hypotheses = ["a b c", "a b x", "x", "y z"]
    references = [["a b c"], ["a b c"], ["q", "x"], ["z y"]]
    assert value("wer", hypotheses, references) == 50.0
    assert value("exact", hypotheses, references) == 50.0
    assert value("wer", hypotheses[1:], references[1:]) == pytest.approx(200 / 3)
    assert value("exact", hypotheses[1:], references[1:]) == pytest.approx(100 / 3)


def test_words_ignore_how_they_are_spaced_and_characters_do_not():
    assert value("exact", ["a  b "], [["a b"]], units="words") == 100.0
    assert value("exact", ["a  b "], [["a b"]], units="characters") == 0.0
    assert value("per", ["a  b "], [["a b"]], units="characters") == pytest.approx(200 / 3)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("hypothesis", "reference"), [("", ""), ("a b", ""), ("", "a b")])
def test_empty_sequences_give_a_number(metric, hypothesis, reference):
    assert 0 <= value(metric, [hypothesis], [[reference]]) <= 200


def test_scores_say_which_way_is_better():
    scores = score(["a"], [["a"]], metrics=list(METRICS))
    assert [each.name for each in scores] == list(METRICS)
    assert {each.name for each in scores if each.higher_is_better} == {"exact", "bleu", "chrf"}


def test_bleu_is_of_detokenised_text_with_its_signature_beside_it():
    hypothesis, reference = "The dog, he said, runs fast.", "The dog , he said , runs fast ."
    (detokenised,) = score([hypothesis], [[reference]], metrics=["bleu"])
    assert detokenised.value == pytest.approx(100)
    assert "tok:13a" in detokenised.signature
    assert "nrefs:1" in detokenised.signature
    (as_it_is,) = score([hypothesis], [[reference]], metrics=["bleu"], bleu_tokenize="none")
    assert as_it_is.value < 60
    assert "tok:none" in as_it_is.signature


def test_bleu_of_tokenised_text_does_not_warn_about_what_was_asked_for(caplog):
    lines = ["a dog runs ."] * 200
    assert value("bleu", lines, [[line] for line in lines], bleu_tokenize="none") == pytest.approx(100)
    assert not caplog.records


@pytest.mark.parametrize("metric", ["bleu", "chrf", "ter"])
def test_numbers_of_references_may_differ(metric):
    right = ["the cat sat on the mat", "a small dog runs fast"]
    (found,) = score(right, [["a cat is here", right[0], "no cat"], [right[1]]], metrics=[metric])
    assert found.value == pytest.approx(0 if metric == "ter" else 100)
    assert "nrefs:var" in found.signature


@pytest.mark.parametrize("name", ["blue", "Wer", "chr"])
def test_an_unknown_metric_is_refused_with_the_nearest_name(name):
    nearest = {"blue": "bleu", "Wer": "wer", "chr": "chrf"}[name]
    with pytest.raises(AttentioError, match=f"unknown metric '{name}'; .*; did you mean '{nearest}'"):
        score(["a"], [["a"]], metrics=[name])


def test_metrics_are_checked_without_anything_to_score():
    check_metrics(list(METRICS), "13a")
    check_metrics(["wer"], "13b")
    with pytest.raises(AttentioError, match="unknown metric 'blue'"):
        check_metrics(["wer", "blue"], "13a")
    with pytest.raises(AttentioError, match="did you mean '13a'"):
        check_metrics(["bleu"], "13b")


def test_an_unknown_bleu_tokenizer_is_refused_with_the_nearest_name():
    with pytest.raises(AttentioError, match="did you mean '13a'"):
        score(["a"], [["a"]], metrics=["bleu"], bleu_tokenize="13b")


def test_nothing_to_score_is_an_error_and_not_a_perfect_score():
    with pytest.raises(AttentioError, match="nothing to score"):
        score([], [], metrics=["wer"])


def test_references_that_do_not_fit_the_hypotheses_are_refused():
    with pytest.raises(ValueError, match="expected 2 entries, got 1"):
        score(["a", "b"], [["a"]], metrics=["wer"])
    with pytest.raises(ValueError, match=r"references\[1\] must be a sequence of one or more"):
        score(["a", "b"], [["a"], []], metrics=["wer"])


def test_a_bare_string_is_not_taken_for_a_list_of_references():
    with pytest.raises(ValueError, match=r"references\[0\] must be a sequence"):
        score(["a"], ["abc"], metrics=["wer"])

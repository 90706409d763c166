import unicodedata

import numpy as np
import pytest
import torch

from attentio.pictures.labels import checked_weights, label


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        (" ", "␣"),
        ("", "∅"),
        ("\n", "↵"),
        ("a b", "a␣b"),
        ("</s>", "</s>"),
        ("▁the", "▁the"),
        ("\x1b", "␛"),
        ("\u0361", "◌\u0361"),
        ("t͡ɕ", "t͡ɕ"),
        ("a\u202eb", "aU+202Eb"),
        ("\u2067", "U+2067"),
    ],
)
def test_a_token_is_visible(token, shown):
    assert label(token) == shown


@pytest.mark.parametrize(
    ("jamo", "letter"),
    [
        ("\u1100", "ㄱ"),
        ("\u11a8", "ㄱ"),
        ("\u1101", "ㄲ"),
        ("\u1161", "ㅏ"),
        ("\u11aa", "ㄳ"),
        ("\u1112", "ㅎ"),
    ],
)
def test_a_conjoining_jamo_is_shown_as_its_compatibility_letter(jamo, letter):
    assert label(jamo) == letter


def test_every_modern_jamo_has_a_letter():
    for syllable in range(0xAC00, 0xD7A4, 29):
        for jamo in unicodedata.normalize("NFD", chr(syllable)):
            assert "\u3131" <= label(jamo) <= "\u3163"


def test_jamo_that_make_a_syllable_are_composed():
    assert label(unicodedata.normalize("NFD", "한국")) == "한국"


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float32, torch.float64])
def test_weights_may_come_from_a_model_in_training(kind):
    weights = torch.full((3, 2), 0.5, dtype=kind, requires_grad=True)
    matrix = checked_weights(weights, source_tokens="ab", target_tokens="pqr")
    assert isinstance(matrix, np.ndarray)
    assert matrix.tolist() == [[0.5, 0.5]] * 3


def test_transposed_weights_are_refused():
    with pytest.raises(ValueError, match=r"\(target tokens, source tokens\) = \(3, 2\), got \(2, 3\)"):
        checked_weights(torch.zeros(2, 3), source_tokens="ab", target_tokens="pqr")


@pytest.mark.parametrize("bad", [-0.5, 1.5, float("nan"), float("inf")])
def test_scores_are_not_taken_for_weights(bad):
    with pytest.raises(ValueError, match="from 0 to 1, not scores"):
        checked_weights(np.array([[0.5, bad]]), source_tokens="ab", target_tokens="p")

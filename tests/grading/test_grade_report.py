"""What the grader says, and what it does with code that cannot be called."""

import json
import re
import runpy
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from planted_codes import DropsOut, minus_ten, no_scale, over_queries
from right_codes import BahdanauThree, MultiHeadByHand, bahdanau_function, sdp_drop_mask, sdp_matmul
from torch import nn

import attentio as at
from attentio.errors import AttentioError
from attentio.grading.papers.catalogue import PAPERS
from attentio.grading.papers.in_korean import IN_KOREAN


class Odd(nn.Module):
    """Its parameters are no W, U and v."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 5)

    def forward(self, query: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        return query


class Unfinished(nn.Module):
    def __init__(self, hidden: int) -> None:
        raise NotImplementedError("later")


def test_the_grade_shows_the_line_the_numbers_and_the_seed(seed: int) -> None:
    grade = at.grade(no_scale, "scaled-dot-product", seed=seed)
    said = str(grade)
    assert "e_ij = q_i . k_j / sqrt(d_k)" in said
    assert "not divided by sqrt(d_k)" in said
    assert f"seed {seed}" in said
    assert grade.difference is not None
    assert f"{grade.difference.yours:.4f}" in said
    assert f"{grade.difference.paper:.4f}" in said
    assert repr(grade) == "Grade(scaled-dot-product: no scale)"
    assert "not divided" in grade._repr_html_()
    content = json.loads(grade.json())
    assert (content["right"], content["deviations"]) == (False, ["no scale"])


def test_the_same_seed_gives_the_same_grade(seed: int) -> None:
    assert str(at.grade(no_scale, "scaled-dot-product", seed=seed)) == str(
        at.grade(no_scale, "scaled-dot-product", seed=seed)
    )


def test_korean(seed: int) -> None:
    said = str(at.grade(over_queries, "scaled-dot-product", language="ko", seed=seed))
    assert "소프트맥스가 쿼리 축에서 계산됩니다" in said
    assert "시드" in said


def test_every_sentence_stands_in_both_languages() -> None:
    for paper in PAPERS.values():
        for name, one in {**paper.deviations, **paper.conventions}.items():
            assert one.line in paper.equation, (paper.name, name)
            assert one.told("en") != one.told("ko")
            assert any("가" <= letter <= "힣" for letter in one.told("ko")), name
    lines = {line for paper in PAPERS.values() for line in paper.equation.values()}
    assert set(IN_KOREAN) == {line for line in lines if re.search(r"[a-z]{3,} [a-z]{3,}", line)}
    assert all(re.search("[가-힣]", line) for line in IN_KOREAN.values())


@pytest.mark.parametrize(("language", "said"), [("en", "the support"), ("ko", "0이 아닌 자리의")])
def test_a_line_of_the_equation_in_words_is_told_in_the_language_asked_for(language: str, said: str, seed: int) -> None:
    def sparsemax(scores: torch.Tensor) -> torch.Tensor:
        return scores.softmax(-1)

    (line,) = at.grade(sparsemax, "sparsemax", language=language, seed=seed).lines
    assert said in line


def test_require_raises_with_the_report(seed: int) -> None:
    with pytest.raises(AssertionError, match="the scores are not divided by sqrt"):
        at.grade(no_scale, "scaled-dot-product", seed=seed).require()
    assert at.grade(sdp_matmul, "scaled-dot-product", seed=seed).require().right


def test_a_mask_that_drops_is_a_note_unless_it_was_said_to_keep(seed: int) -> None:
    grade = at.grade(sdp_drop_mask, "scaled-dot-product", seed=seed)
    assert grade.right
    assert any("your mask means drop" in one for one in grade.remarks)
    assert at.grade(sdp_drop_mask, "scaled-dot-product", mask_means="keep", seed=seed).deviations == ("polarity",)


def test_a_bias_is_told_and_is_no_mistake(seed: int) -> None:
    grade = at.grade(BahdanauThree, "bahdanau", seed=seed)
    assert grade.right
    assert any("bias" in one for one in grade.remarks)


def test_the_learners_exception_is_shown_with_its_line(seed: int) -> None:
    def attention(query: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        return query.no_such_method(keys)

    grade = at.grade(attention, "luong-dot", seed=seed)
    assert not grade.right
    assert grade.raised is not None
    assert "no_such_method" in grade.raised
    number = attention.__code__.co_firstlineno + 1
    assert f"line {number})" in grade.raised
    assert f", {number}번째 줄)" in str(at.grade(attention, "luong-dot", language="ko", seed=seed))


def test_an_unknown_difference_is_not_explained_away(seed: int) -> None:
    def attention(query: torch.Tensor, keys: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        weights = (query @ keys.mT).softmax(-1)
        return weights @ keys.sin() * 3, weights

    grade = at.grade(attention, "luong-dot", seed=seed)
    assert not grade.right
    assert grade.deviations == ()
    assert grade.difference is not None
    assert (grade.difference.name, grade.difference.agreeing) == ("context", ("weights",))
    assert "no mistake that is known explains the difference" in str(grade)


def test_a_scripted_module_is_told_to_be_given_as_it_was_written() -> None:
    with warnings.catch_warnings():  # torch.jit is deprecated
        warnings.simplefilter("ignore")
        scripted = torch.jit.script(nn.Linear(3, 3))
    with pytest.raises(AttentioError, match="code is a scripted module, which cannot be cast; give the module"):
        at.grade(scripted, "luong-general")


def test_parameters_beyond_the_paper_s_are_told(seed: int) -> None:
    class LowRank(MultiHeadByHand):
        def __init__(self) -> None:
            super().__init__()
            self.down, self.up = nn.Parameter(torch.randn(3, 24)), nn.Parameter(torch.randn(24, 3))

        def forward(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
            return super().forward(query + query @ self.down.T @ self.up.T, key, value)

    grade = at.grade(LowRank(), "multi-head", seed=seed)
    assert not grade.right
    assert "your module has parameters for which the paper's equation has no place" in str(grade)
    assert "no place" not in str(at.grade(MultiHeadByHand(), "multi-head", seed=seed))


def test_rounding_and_a_guard_against_zero_are_no_difference(seed: int) -> None:
    def attention(query: np.ndarray, keys: np.ndarray) -> np.ndarray:
        e = np.exp(np.einsum("bqd,bkd->bqk", query, keys).astype(np.float32))
        return e / (e.sum(-1, keepdims=True) + 1e-9) @ keys.astype(np.float32)

    assert at.grade(attention, "luong-dot", seed=seed).right


def test_the_owners_module_and_random_state_are_left_alone(seed: int) -> None:
    module = BahdanauThree(8)
    before = [one.clone() for one in module.parameters()]
    state = torch.get_rng_state()
    at.grade(module, "bahdanau", seed=seed)
    assert torch.equal(state, torch.get_rng_state())
    assert module.training
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))


def test_dropout_that_is_always_on_is_told(seed: int) -> None:
    assert "two calls with the same inputs" in str(at.grade(DropsOut, "scaled-dot-product", seed=seed))


def no_weights(query: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    return (query @ keys.transpose(-1, -2)).softmax(-1) @ keys


def test_parameters_that_a_function_holds_are_told_by_name(seed: int) -> None:
    w, u, v = torch.randn(6, 4), torch.randn(6, 5), torch.randn(6)

    def attention(query: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        return bahdanau_function(query, keys, w, u, v)[0]

    assert at.grade(attention, "bahdanau", weights={"W": w, "U": u, "v": v}, seed=seed).right
    assert not at.grade(attention, "bahdanau", weights={"W": w, "U": u, "v": -v}, seed=seed).right


@pytest.mark.parametrize(
    ("code", "paper", "options", "told"),
    [
        (no_scale, "scaled-dot-produkt", {}, "did you mean 'scaled-dot-product'?"),
        (no_scale, "scaled-dot-product", {"language": "fr"}, 'language must be "en" or "ko"'),
        (no_scale, "scaled-dot-product", {"mask_means": "add"}, 'mask_means must be "keep" or "drop"'),
        (3, "bahdanau", {}, "code must be a function or a module, got int"),
        (lambda: None, "luong-dot", {}, "write it as: def attention(query, keys, mask=None)"),
        (lambda query, keys, more, other: keys, "luong-dot", {}, "it is not clear what its argument 'other' is"),
        (lambda query, keys: "text", "luong-dot", {}, "it returned no tensor; expected context"),
        (Odd(), "bahdanau", {}, "say which is which: weights={'W': .., 'U': .., 'v': ..}"),
        (BahdanauThree(8), "bahdanau", {"weights": {"W": torch.ones(3)}}, "weights['W'] is no parameter of the module"),
        (
            no_weights,
            "luong-general",
            {"weights": {"Z": torch.ones(5, 4)}},
            "(Z [5, 4]) do not fit; say which is which",
        ),
        (no_weights, "luong-general", {"weights": {"W": torch.ones(4)}}, "(W [4]) do not fit; say which is which: "),
        (
            no_weights,
            "luong-general",
            {"weights": {"W": "w"}},
            "weights['W'] of a function must be a tensor or an array",
        ),
        (no_weights, "luong-dot", {"weights": {"W": torch.ones(5, 4)}}, "luong-dot has no weights; leave weights= out"),
        (
            torch.triu,
            "causal-mask",
            {},
            "triu does not say its arguments; call it in a function of yours: def causal_m",
        ),
        (torch.nn.LSTM, "bahdanau", {}, "LSTM() raised TypeError: "),
        (Unfinished, "bahdanau", {}, "Unfinished(hidden=12) raised NotImplementedError: later; give one that is made"),
        (nn.Sequential(*map(nn.LayerNorm, range(1, 20))), "bahdanau", {}, "5.bias [6], and 26 more) do not fit"),
    ],
)
def test_what_cannot_be_graded_is_one_line(code: Callable, paper: str, options: dict, told: str) -> None:
    with pytest.raises(AttentioError) as caught:
        at.grade(code, paper, **options)
    assert told in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert "\n" not in str(caught.value)


def test_a_module_without_sizes_is_told_to_be_called_once(seed: int) -> None:
    class Additive(nn.Module):
        def __init__(self, hidden: int) -> None:
            super().__init__()
            self.w, self.u, self.v = (nn.LazyLinear(size, bias=False) for size in (hidden, hidden, 1))

        def forward(self, queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
            scores = self.v((self.w(queries).unsqueeze(2) + self.u(keys).unsqueeze(1)).tanh()).squeeze(-1)
            return scores.softmax(-1) @ keys

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls lazy layers new
        instance = Additive(8)
        for code in (Additive, instance):
            with pytest.raises(AttentioError, match="Additive has lazy layers, which have no sizes yet; call an inst"):
                at.grade(code, "bahdanau", seed=seed)
        instance(torch.randn(2, 3, 5), torch.randn(2, 4, 6))
        assert at.grade(instance, "bahdanau", seed=seed).right


def test_a_module_that_keeps_its_weights_is_graded_after_a_call(seed: int) -> None:
    class Keeps(BahdanauThree):
        def forward(self, query: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
            self.kept = super().forward(query, keys)
            return self.kept

    module = Keeps(16)
    for _ in range(2):
        assert at.grade(module, "bahdanau", seed=seed).right
        module(torch.randn(2, 1, 16), torch.randn(2, 5, 16))


@pytest.mark.parametrize("seed", [2, 3])
def test_a_scale_without_its_fraction_is_named(seed: int) -> None:
    def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return (q @ k.mT / int(q.shape[-1] ** 0.5)).softmax(-1) @ v

    assert at.grade(attention, "scaled-dot-product", seed=seed).deviations == ("1 / whole part of sqrt(d)",)


def test_an_additive_mask_must_add_any_number(seed: int) -> None:
    """(1 - mask) * -10 turns -inf into -inf, and yet is no additive mask."""
    assert at.grade(minus_ten, "scaled-dot-product", seed=seed).deviations == ("lowered by 10",)


def test_the_line_is_told_of_a_file_in_a_folder_named_like_a_library(tmp_path: Path) -> None:
    path = tmp_path / "torch" / "mine.py"
    path.parent.mkdir()
    path.write_text("def attention(query, keys):\n    return query @ keys\n")
    names = runpy.run_path(str(path))
    assert f"({path}, line 2)" in str(at.grade(names["attention"], "luong-dot", seed=1).raised)


def test_what_the_code_prints_is_not_shown(seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    def attention(query: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        print("shape", query.shape)
        return (query @ keys.mT).softmax(-1) @ keys

    assert at.grade(attention, "luong-dot", seed=seed).right
    assert capsys.readouterr().out == ""


def test_code_that_changes_its_inputs_in_place_is_not_confused(seed: int) -> None:
    def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        q /= q.shape[-1] ** 0.5
        return (q @ k.mT).softmax(-1) @ v

    assert at.grade(attention, "scaled-dot-product", seed=seed).right


def test_a_plain_object_that_can_be_called_is_graded_as_a_function(seed: int) -> None:
    class Attention:
        def __call__(self, Q: np.ndarray, K: np.ndarray, V: np.ndarray) -> np.ndarray:  # noqa: N803
            e = np.exp(Q @ K.transpose(0, 2, 1) / np.sqrt(K.shape[-1]))
            return e / e.sum(-1, keepdims=True) @ V

    assert at.grade(Attention(), "scaled-dot-product", seed=seed).right
    assert at.grade(Attention, "scaled-dot-product", seed=seed).right

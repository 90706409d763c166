"""attentio compare: what a file of variants may hold. That it compares is shown in tests/system."""

from collections.abc import Callable
from pathlib import Path

import pytest

from attentio.commands.compare import Outcome, _variants, _write


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("base: luong\nvariants: {a: {model.cel: gru}}", "did you mean 'model.cell'?"),
        ("base: loung\nvariants: {a: {}}", "did you mean 'luong'?"),
        ("base: luong\nvariants: {a: 3}", "variant 'a' must hold changes"),
        ("base: luong\nvariants: 3", "must hold `base`"),
        ("variants: {a: {}}", "must hold `base`"),
        ("base: luong\nvariants: {a: {}}\nmore: 1", "nothing else"),
        ("base: {", "not valid YAML"),
        ("base: luong\nvariants: {a: {training.max_steps: 3}, b: {training.max_steps: 4}}", "give them one budget"),
        ("base: luong\nvariants: {a: {training.accumulate: 2}, b: {}}", "give them one budget"),
    ],
)
def test_a_wrong_file_of_variants_is_told(tmp_path: Path, attentio: Callable, content: str, told: str) -> None:
    path = tmp_path / "variants.yaml"
    path.write_text(content)
    said = attentio("compare", path, "--out", tmp_path / "out")
    assert said.code == 2
    assert told in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_override_must_do_something_in_one_variant_at_least(tmp_path: Path, attentio: Callable) -> None:
    path = tmp_path / "variants.yaml"
    path.write_text("base: luong\nvariants: {a: {}, b: {model.decoder: transformer}}")
    said = attentio("compare", path, "--model.reach", 3, "--out", tmp_path / "out")
    assert said.code == 2
    assert "of no variant: model.reach does nothing here" in said.err
    assert _variants([str(path)], ["--model.score", "location"])["a"].model.score == "location"


def test_variants_of_another_type_are_not_compared(tmp_path: Path, attentio: Callable) -> None:
    path = tmp_path / "variants.yaml"
    path.write_text("base: luong\nvariants: {a: {}, b: {model.type: causal-lm}}")
    said = attentio("compare", path, "--out", tmp_path / "out")
    assert said.code == 2
    assert "the variants differ in model.type" in said.err


def test_language_models_have_a_table_and_no_curve_by_source_length(tmp_path: Path) -> None:
    facts = {"by_source_length": [], "parameters": 7, "peak_megabytes": 3.0, "seconds": 60.0}
    outcomes = [
        Outcome(variant=name, scores={"perplexity": value}, target_tokens_per_second=5.0, **facts)
        for name, value in (("a", 3.25), ("b", 4.5))
    ]
    assert [path.name for path in _write(tmp_path, outcomes)] == ["compare.json", "compare.md", "compare.png"]
    assert "| a | 3.25 | 5 | 1.0 | 3 | 7 |" in (tmp_path / "compare.md").read_text()


def test_variants_need_names_of_their_own(attentio: Callable, tmp_path: Path) -> None:
    said = attentio("compare", "luong", "luong", "--out", tmp_path)
    assert said.code == 2
    assert "a second variant called 'luong'" in said.err

"""attentio compare: what a file of variants may hold. That it compares is shown in tests/system."""

from collections.abc import Callable
from pathlib import Path

import pytest

from attentio.commands.compare import Outcome, _recipes, _variants, _write, waits_for_attention
from attentio.config.read import load_config
from attentio.models.presets import bahdanau, delayed, luong, plain, recurrent_encoder


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
    facts = {"by_source_length": [], "parameters": 7, "waits": False, "peak_megabytes": 3.0, "seconds": 60.0}
    outcomes = [
        Outcome(variant=name, scores={"perplexity": value}, target_tokens_per_second=5.0, **facts)
        for name, value in (("a", 3.25), ("b", 4.5))
    ]
    assert [path.name for path in _write(tmp_path, outcomes)] == ["compare.json", "compare.md", "compare.png"]
    assert "| a | 3.25 | 5 | no | 1.0 | 3 | 7 |" in (tmp_path / "compare.md").read_text()


def test_variants_need_names_of_their_own(attentio: Callable, tmp_path: Path) -> None:
    said = attentio("compare", "luong", "luong", "--out", tmp_path)
    assert said.code == 2
    assert "a second variant called 'luong'" in said.err


def test_a_variant_named_twice_is_refused_with_its_line(attentio: Callable, tmp_path: Path) -> None:
    path = tmp_path / "variants.yaml"
    path.write_text("base: luong\nvariants:\n  dot: {model.score: dot}\n  dot: {model.score: concat}\n")
    said = attentio("compare", str(path))
    assert (said.code, said.err) == (2, f"attentio: {path}:4: not valid YAML: the key 'dot' a second time\n")


@pytest.mark.parametrize("feeding", ["true", "false"])
@pytest.mark.parametrize(
    ("attention", "build"), [("none", plain), ("bahdanau", bahdanau), ("luong", luong), ("delayed", delayed)]
)
def test_a_variant_waits_if_its_decoder_feeds_the_context_back(attention: str, build: Callable, feeding: str) -> None:
    model = load_config("luong", [f"--model.attention={attention}"], shared=[f"--model.input_feeding={feeding}"]).model
    decoder = build(model, recurrent_encoder(model, vocabulary=7), vocabulary=5).decoder
    assert waits_for_attention(model) == (decoder.attention is not None and decoder.context != "output")


def test_a_transformer_waits_for_nothing() -> None:
    assert not waits_for_attention(load_config("transformer").model)


@pytest.mark.parametrize("recipe", sorted(_recipes()))
def test_a_recipe_that_comes_along_is_a_comparison_by_its_name(recipe: str) -> None:
    variants = _variants([recipe], ["--training.batch_tokens", "512"])
    assert len({config.model for config in variants.values()}) == len(variants) > 1
    assert {(one.training.max_steps, one.training.batch_tokens) for one in variants.values()} == {(600, 512)}

"""attentio compare: what a file of variants may hold. That it compares is shown in tests/system."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from attentio.commands.compare import Row, _against_first, _recipes, _rows, waits_for_attention
from attentio.commands.comparison import Measured, Outcome, print_table, write
from attentio.config.read import load_config, load_run
from attentio.models.presets import bahdanau, delayed, hard, luong, plain, recurrent_encoder


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("base: luong\nvariants: {a: {model.cel: gru}}", "did you mean 'model.cell'?"),
        ("base: luong\nvariants: {a: {}, b: {model.beam: 3}}", "variant 'b': "),
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
    assert _rows([str(path)], ["--model.score", "location"])["a"].config.model.score == "location"


def test_variants_of_another_type_are_not_compared(tmp_path: Path, attentio: Callable) -> None:
    path = tmp_path / "variants.yaml"
    path.write_text("base: luong\nvariants: {a: {}, b: {model.type: causal-lm}}")
    said = attentio("compare", path, "--out", tmp_path / "out")
    assert said.code == 2
    assert "the variants differ in model.type" in said.err


def measured(value: float, speed: float | None = 5.0) -> Measured:
    return Measured("", {"perplexity": value}, [], 7, speed, speed and 3.0, speed and 60.0)


def test_language_models_have_a_table_and_no_curve_by_source_length(tmp_path: Path) -> None:
    outcomes = [Outcome(name, [measured(value)], waits=False) for name, value in (("a_b", 3.25), ("c", 4.5))]
    names = ["compare.json", "compare.csv", "compare.md", "compare.tex", "compare.png"]
    assert [path.name for path in write(tmp_path, outcomes)] == names
    assert "| a_b | 3.25 | 5 | no | 1.0 | 3 | 7 |" in (tmp_path / "compare.md").read_text()
    header = "variant,seeds,perplexity,perplexity_deviation,p,waits_for_attention,"
    header += "target_tokens_per_second,seconds,peak_megabytes,parameters"
    assert (tmp_path / "compare.csv").read_text().splitlines()[:2] == [header, "a_b,1,3.25,,,no,5.0,60.0,3.0,7"]
    assert "a\\_b & 3.25 & 5 & no & 1.0 & 3 & 7 \\\\\n" in (tmp_path / "compare.tex").read_text()


@pytest.mark.parametrize("count", [1, 2, 4, 16])
@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_table_shows_every_number_however_narrow_the_terminal(count: int, width: int) -> None:
    names = [f"local-{letter}-general" for letter in "abcdefghijklmnop"[:count]]
    outcomes = [Outcome(name, [measured(17.25 + number)], waits=False) for number, name in enumerate(names)]
    console = Console(width=width, file=io.StringIO())
    print_table(console, outcomes)
    said = console.file.getvalue()
    assert all(f"{17.25 + number:.2f}" in said for number in range(count))
    assert "…" not in said
    assert len({len(line) for line in said.splitlines()}) == 1


def test_several_seeds_have_their_mean_and_standard_deviation(tmp_path: Path) -> None:
    write(tmp_path, [Outcome("a", [measured(3.0), measured(5.0, speed=7.0)], waits=False)])
    assert "| a | 4.00 ± 1.41 | 2 | 6 |" in (tmp_path / "compare.md").read_text()
    assert "4.00 $\\pm$ 1.41" in (tmp_path / "compare.tex").read_text()


def test_what_is_known_of_no_row_has_no_column(tmp_path: Path) -> None:
    write(tmp_path, [Outcome("a", [measured(3.0, speed=None)], waits=False)])
    assert "| variant | perplexity | waits for attention | parameters |" in (tmp_path / "compare.md").read_text()
    write(tmp_path, [Outcome(name, [measured(3.0, speed)], waits=False) for name, speed in (("a", None), ("b", 2.0))])
    assert (
        "| a | 3.00 | - | no | - | - | 7 |\n| b | 3.00 | 2 | no | 1.0 | 3 | 7 |\n"
        in (tmp_path / "compare.md").read_text()
    )


def test_runs_that_are_there_are_compared_without_training(
    toy, toy_without_attention: Path, tmp_path: Path, attentio: Callable
) -> None:
    out = tmp_path / "out"
    without = Path(shutil.copytree(toy_without_attention, tmp_path / "without-0.1"))
    said = attentio("compare", toy.run, without, "--out", out, "--data", toy.dev)
    assert said.code == 0
    assert "the probability of a difference of exact from run at least this large" in said.out
    found = json.loads((out / "compare.json").read_text())
    assert [outcome["variant"] for outcome in found] == [toy.run.name, "without-0.1"]
    assert found[0]["runs"][0]["scores"]["exact"] > 50
    assert found[0]["p_value"] is None
    assert found[1]["p_value"] < 0.01
    assert (out / "without-0.1" / "outputs.tsv").is_file()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["dates-luong", "cmudict"], "the variants differ in evaluation.metrics"),
        (["dates-luong", "luong", "--data.test", "a.tsv"], "measured on dates:test, and luong on a.tsv; give --data"),
        (["dates-luong", "--seeds", "1", "dates-none"], "'dates-none' stands behind the options"),
        (["dates-luong", "dates-non"], "; did you mean 'dates-none'?"),
        (["luong", "no-such.yaml"], "'no-such.yaml' is no preset, file, run or model that comes along; `attentio"),
        (["dates-luong", "masked-lm"], "the variants differ in model.type"),
        (["luong", "hard-monotonic", "--evaluation.metrics", "per"], "per would count words in one variant and char"),
        (["dates-luong", "dates-none", "--seeds", "2"], "--seeds is for variants that are trained"),
        (["dates-luong", "dates-none", "--model.hidden", "2"], "--model.hidden is for variants that are trained"),
        (["cmudict", "dates-none", "--model.hidden", "2"], "--model.hidden is for variants that are trained"),
        (["luong", "--seeds", "0"], "must be a whole number from 1 to 1,000"),
    ],
)
def test_rows_that_cannot_be_compared_are_told(attentio: Callable, given: list[str], told: str, tmp_path: Path) -> None:
    said = attentio("compare", *given, "--out", tmp_path / "out")
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert told in said.err
    assert not (tmp_path / "out").exists()


def test_runs_with_other_targets_are_not_compared(toy, tmp_path: Path, attentio: Callable) -> None:
    other = Path(shutil.copytree(toy.run, tmp_path / "other"))
    config = (other / "config.yaml").read_text(encoding="utf-8")
    (other / "config.yaml").write_text(config.replace("columns: null", "columns: ['1', '3']"), encoding="utf-8")
    said = attentio("compare", toy.run, other, "--data", toy.dev, "--out", tmp_path / "out")
    assert said.code == 2
    assert "the variants differ in the target that data.columns names" in said.err


def test_variants_that_read_the_data_otherwise_have_no_p(toy, tmp_path: Path, attentio: Callable) -> None:
    """As with another text.normalize, where two spellings are one source or two."""
    outcomes = []
    for name, lines in (("composed", "ab\tba\nca\tac\n"), ("as they are", "ab\tba\nca\tac\nac\tca\n")):
        data, out = tmp_path / f"{name}.tsv", tmp_path / name
        data.write_text(lines)
        assert attentio("evaluate", toy.run, "--data", data, "--out", out).code == 0
        outcomes.append(Outcome(name, [measured(1.0)._replace(folder=str(out))], waits=False))
    rows = {"composed": Row(load_run(toy.run))}
    assert [one.p_value for one in _against_first(outcomes, rows)] == [None, None]
    same = [outcomes[0], outcomes[0]._replace(variant="again")]
    assert _against_first(same, rows)[1].p_value == 1.0


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
    ("attention", "build"),
    [("none", plain), ("bahdanau", bahdanau), ("luong", luong), ("delayed", delayed), ("hard", hard)],
)
def test_a_variant_waits_if_its_decoder_feeds_the_context_back(attention: str, build: Callable, feeding: str) -> None:
    model = load_config("luong", [f"--model.attention={attention}"], shared=[f"--model.input_feeding={feeding}"]).model
    decoder = build(model, recurrent_encoder(model, vocabulary=7), vocabulary=5).decoder
    assert waits_for_attention(model) == (decoder.attention is not None and decoder.context != "output")


def test_a_transformer_waits_for_nothing() -> None:
    assert not waits_for_attention(load_config("transformer").model)


@pytest.mark.parametrize("recipe", sorted(_recipes()))
def test_a_recipe_that_comes_along_is_a_comparison_by_its_name(recipe: str) -> None:
    variants = [row.config for row in _rows([recipe], ["--training.batch_tokens", "512"]).values()]
    assert len({config.model for config in variants}) == len(variants) > 1
    assert {(one.training.max_steps, one.training.batch_tokens) for one in variants} == {(600, 512)}

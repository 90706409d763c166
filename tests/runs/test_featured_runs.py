"""A run whose sources have features: learnt, used by every verb, gone on from, and refused where it cannot go."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from toy_features import write_featured
from toy_pairs import OPTIONS, as_arguments

import attentio as at
from attentio.commands.main import main
from attentio.errors import AttentioError
from attentio.runs.fields import Fields
from attentio.runs.tasks import task_of
from attentio.runs.translator import Run
from attentio.serving.front import front_page
from attentio.serving.openapi import openapi

STEPS = {"training.max_steps": 140, "training.validate_every": 140, "model.hidden": 32, "training.samples": 0}
FEW = {"training.max_steps": 2, "training.validate_every": 2, "training.validation_size": 5}


@pytest.fixture(scope="module")
def folder(training_seed: int, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With files of words and a run that has learnt what their features say."""
    folder = tmp_path_factory.mktemp("featured")
    data = {
        "data.train": write_featured(folder / "train.tsv", count=1000, seed=training_seed),
        "data.dev": write_featured(folder / "dev.tsv", count=50, seed=training_seed + 1),
        "data.features": "3",
    }
    options = OPTIONS | data | STEPS | {"training.seed": training_seed, "model.input_feeding": "false"}
    assert main(["train", "luong", "--run", str(folder / "run"), *as_arguments(options)]) == 0
    return folder


@pytest.fixture
def run(folder: Path) -> Run:
    found = at.load(folder / "run", device="cpu")
    assert isinstance(found, Run)
    return found


def few(folder: Path, **options: object) -> list[str]:
    data = {"data.train": folder / "dev.tsv", "data.dev": folder / "dev.tsv", "data.features": "3"}
    return as_arguments(OPTIONS | data | FEW | options)


def test_what_features_say_is_learnt(folder: Path, run: Run, attentio: Callable) -> None:
    assert attentio("evaluate", folder / "run", "--beam", 1, "--metrics", "exact").code == 0
    scores = json.loads((folder / "run" / "evaluation" / "scores.json").read_text())["scores"]
    assert scores[0]["value"] >= 80
    assert [one.text for one in run.translate(["abc\tF;X", "abc\tL;X"])] == ["a", "c"]


def test_other_data_may_have_them_in_another_column(folder: Path, attentio: Callable, tmp_path: Path) -> None:
    table = tmp_path / "table.tsv"
    table.write_text("tags\tletter\tword\nF;X\ta\tabc\nL;X\tc\tabc\n")
    columns = ["--data.columns", "word,letter", "--data.features", "tags"]
    assert attentio("evaluate", folder / "run", "--data", table, *columns, "--out", tmp_path, "--beam", 1).code == 0
    sources = [line.split("\t")[0] for line in (tmp_path / "outputs.tsv").read_text().splitlines()[1:]]
    assert sources == ["abc F;X", "abc L;X"]


def test_every_verb_takes_the_features(folder: Path, attentio: Callable, tmp_path: Path) -> None:
    run = folder / "run"
    said = attentio("translate", run, "--json", given=b"abcd\tF\n\nabcd\tL;Q\n")
    assert said.code == 0
    assert [json.loads(line)["source"] for line in said.out.splitlines()] == ["abcd\tF", "", "abcd\tL;Q"]
    assert "'Q' (line 3, character 8): the model does not know it" in said.err
    assert attentio("score", run, given=b"abcd\td\tF\n").out.count("\t") == 2
    assert attentio("align", run, given=b"abcd\td\tF\n").out.count("-") >= 1
    shown = attentio("look", run, "abcd", "--features", "F;Y", "--out", tmp_path / "page.html")
    assert shown.code == 0, shown.err
    assert "with --features" in attentio("look", run, "abcd").err
    assert "abcd F;Y →" in (tmp_path / "page.html").read_text(encoding="utf-8")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("abcd\tF\n")
    assert attentio("translate", run, "--input", tmp_path / "in", "--output", tmp_path / "out").code == 0


@pytest.mark.parametrize(
    ("verb", "given", "told"),
    [
        ("translate", "abcd\tF\nabcd\n", "<stdin>:2: no features, which the model is trained with"),
        ("translate", "abcd\tabcd\tF\n", "<stdin>:1: 2 tabs where one is expected"),
        (
            "align",
            "abcd\td\n",
            "<stdin>:1: 2 column(s) where 3 are expected; write source, one tab, target, one tab",
        ),
        ("score", "abcd\td\t;\n", "<stdin>:1: features: empty"),
    ],
)
def test_a_line_without_features_is_told(folder: Path, attentio: Callable, verb: str, given: str, told: str) -> None:
    said = attentio(verb, folder / "run", given=given.encode())
    assert (said.code, told in said.err) == (2, True), said.err


def test_a_feature_is_changed_into_another(run: Run) -> None:
    changed = run.change("abc\tF;X", at.Change(3, "replace", "L"))
    assert (changed.read[3:5], changed.read_after[3:5]) == (["F", "X"], ["L", "X"])
    assert (changed.before.text, changed.after.text) == ("a", "c")
    assert run.change("abc\tF;X", at.Change(3, "hide")).read_after[3] == "<unk>"


def test_python_is_told_too(run: Run) -> None:
    with pytest.raises(AttentioError, match="'abcd': no features"):
        run.translate(["abcd"])


@pytest.mark.parametrize("to", ["ctranslate2", "huggingface"])
def test_other_formats_know_no_features(folder: Path, attentio: Callable, to: str) -> None:
    said = attentio("export", folder / "run", "--to", to)
    assert said.code == 2
    assert "is trained with features, which no other format has; choose --to bundle" in said.err


def test_a_bundle_and_several_together_keep_them(folder: Path, run: Run, attentio: Callable, tmp_path: Path) -> None:
    bundle = tmp_path / "featured.zip"
    assert attentio("export", folder / "run", "--to", "bundle", "--out", bundle).code == 0
    both = at.load([folder / "run", bundle], device="cpu")
    assert isinstance(both, Run)
    assert both.features == run.features == ("F", "L", "X", "Y")
    assert both.translate(["abcd\tF"])[0].text == run.translate(["abcd\tF"])[0].text


def test_it_is_resumed_and_gone_on_from(folder: Path, run: Run, attentio: Callable, tmp_path: Path) -> None:
    more = tmp_path / "more.tsv"
    more.write_text("abcd\tß\tF;Z\nabc\ta\tF\nab\ta\tF\n", encoding="utf-8")
    options = few(folder, **{"data.train": more, "data.dev": more, "text.extend": "true"})
    again = attentio("train", "luong", "--run", tmp_path / "again", "--init", folder / "run", *options)
    assert again.code == 0, again.err
    assert "new in the vocabulary: 2 ('Z' 'ß')" in again.err
    grown = at.load(tmp_path / "again", device="cpu")
    assert grown.features == ("F", "L", "X", "Y", "Z")
    report = json.loads((tmp_path / "again" / "init.json").read_text())
    assert report["grown"]["encoder.embedding.features.weight"] == 1
    longer = [*options, "--training.max_steps", "4"]
    resumed = attentio("train", "luong", "--run", tmp_path / "again", "--init", folder / "run", *longer)
    assert resumed.code == 0, resumed.err
    assert "going on after step 2" in resumed.err


def test_a_model_without_features_gets_them(folder: Path, attentio: Callable, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.tsv"
    lines = (folder / "dev.tsv").read_text().splitlines()
    pairs.write_text("".join(line.rpartition("\t")[0] + "\n" for line in lines))
    plain = OPTIONS | FEW | {"data.train": pairs, "data.dev": pairs}
    assert attentio("train", "luong", "--run", tmp_path / "plain", *as_arguments(plain)).code == 0
    refused = attentio("evaluate", tmp_path / "plain", "--data.features", 3)
    assert (refused.code, "--data.features is for models that are trained with features" in refused.err) == (2, True)
    said = attentio("train", "luong", "--run", tmp_path / "run", "--init", tmp_path / "plain", *few(folder))
    assert said.code == 0, said.err
    assert at.load(tmp_path / "run").features == ("F", "L", "X", "Y")
    back = attentio("train", "luong", "--run", tmp_path / "back", "--init", folder / "run", *as_arguments(plain))
    assert back.code == 2
    assert "was trained with features, and" in back.err


def test_tags_of_files_are_features(folder: Path, attentio: Callable, tmp_path: Path) -> None:
    for name, word in {"x": "abc", "y": "cba"}.items():
        (tmp_path / f"{name}.tsv").write_text(f"abc\t{word}\nab\t{word[:2]}\n")
    spec = f"x={tmp_path / 'x.tsv'}+y={tmp_path / 'y.tsv'}"
    plain = {"data.train": spec, "text.shared": "true", "model.transformer.width": 16}
    arguments = as_arguments(FEW | plain | {"model.transformer.feed_forward": 16, "model.encoder_layers": 1})
    said = attentio("train", "transformer", "--run", tmp_path / "run", *arguments)
    assert said.code == 0, said.err
    run = at.load(tmp_path / "run", device="cpu")
    assert run.features == ("x", "y")
    assert run.tokenizers.target is run.tokenizers.source.plain
    assert attentio("evaluate", tmp_path / "run").code == 0, "what was held out"
    refused = attentio("evaluate", tmp_path / "run", "--data", tmp_path / "x.tsv")
    assert f"has tags, and {tmp_path / 'x.tsv'} has none; write TAG={tmp_path / 'x.tsv'}" in refused.err


def test_a_served_run_has_a_field_for_them(run: Run) -> None:
    task = task_of(run.config)
    asked = [task.question(run, Fields(fields)) for fields in ({"text": "abcd\tF"}, {"text": "abcd", "features": "F"})]
    assert [each.text for each in asked] == ["abcd\tF"] * 2
    (answer,) = task.answers(run, asked[:1], lambda: None)
    assert answer["translations"][0]["source_tokens"][-2:] == ["F", "</s>"]
    with pytest.raises(AttentioError, match="no features"):
        task.work(run, task.question(run, Fields({"text": "abcd"})))
    body = openapi(run)["paths"]["/translate"]["post"]["requestBody"]
    assert "features" in body["content"]["application/json"]["schema"]["properties"]
    for featured in (True, False):
        page = front_page(name="t", kind="encoder-decoder", language="ko", examples=["a\tF"], featured=featured)
        body = bytes(page.body).decode()
        assert f'"featured": {str(featured).lower()}' in body
        assert '<label hidden><span data-string="features"></span> <input id="features"' in body, "its name is seen"


def test_a_teacher_with_features_teaches_those_with_features(folder: Path, attentio: Callable, tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("abcd\tF ; Y\n")
    taught = {"training.distill": "sequences", "data.unlabelled": tmp_path / "more.txt"}
    said = attentio("train", "luong", "--run", tmp_path / "run", "--teacher", folder / "run", *few(folder, **taught))
    assert said.code == 0, said.err
    lessons = (tmp_path / "run" / "distilled.jsonl").read_text()
    assert '"abcd\\tF;Y"' in lessons
    plain = {"data.features": "null", "data.columns": "1,2", **taught}
    refused = attentio("train", "luong", "--run", tmp_path / "no", "--teacher", folder / "run", *few(folder, **plain))
    assert (refused.code, "has features of sources" in refused.err) == (2, True), refused.err

"""The models that come along: each opens by its name, does what its card says, and all are small."""

import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import attentio as at
from attentio.data import rows
from attentio.data.pairs import group_references, read_pairs
from attentio.evaluation.metrics import score
from attentio.runs.card import read_card
from attentio.runs.places import along, outputs_folder, resolve

NAMES = sorted(along())
TRANSLATE = [name for name in NAMES if read_card(along()[name])["type"] == "encoder-decoder"]
MOST = 12_000_000
"""Bytes of all."""


def test_they_are_few_megabytes_and_the_promised_ones_are_there() -> None:
    assert {"cmudict", "dates-bahdanau", "dates-luong"} <= set(NAMES)
    assert sum(path.stat().st_size for path in along().values()) <= MOST


def test_they_open_without_torchs_compiler_which_takes_seconds_to_import() -> None:
    code = f"import attentio as at, sys; [at.load(name) for name in {NAMES}]; assert 'torch._dynamo' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", NAMES)
def test_every_card_tells_what_a_user_must_know(name: str) -> None:
    card = read_card(along()[name])
    assert card["name"] == name
    assert {"task", "attention", "parameters", "step", "seed", "data", "quality", "learnt from", "licence"} <= set(card)
    assert card["command"].startswith("attentio train ")
    assert card["quality"]["scores"]
    assert "/" not in f"{card['data']} {card['command']} {card['quality']}"
    with zipfile.ZipFile(along()[name]) as archive:
        assert "/tmp" not in archive.read("config.yaml").decode()


@pytest.mark.parametrize("name", TRANSLATE)
def test_a_model_reaches_its_cards_quality_on_a_small_sample(name: str) -> None:
    run = at.load(name)
    quality = read_card(along()[name])["quality"]
    data = quality["data"]
    assert data.partition(":")[0] in rows.EMBEDDED
    sample = group_references(read_pairs(data).pairs)[::23][:40]
    outputs = [each.text for each in run.translate([example.source for example in sample])]
    (found,) = score(outputs, [example.references for example in sample], metrics=["per"], units=run.config.units)
    assert found.value <= quality["scores"]["per"] + 5


@pytest.mark.parametrize("name", TRANSLATE)
def test_white_space_around_a_text_is_no_part_of_it(name: str) -> None:
    run = at.load(name)
    text = read_pairs(read_card(along()[name])["quality"]["data"]).pairs[0].source
    plain, spaced = run.translate([text, f" {text} "])
    assert spaced.text == plain.text
    assert not spaced.unknown


@pytest.mark.parametrize("name", [name for name in NAMES if name not in TRANSLATE])
def test_a_language_model_knows_both_languages(name: str) -> None:
    run = at.load(name)
    if isinstance(run, at.MaskedRun):
        english, korean = run.fill("Prince Andrew looked [MASK] her.")[0], run.fill("오늘은 [MASK] 하세요.")[0]
        assert {"▁to", "▁at"} <= {one.token for one in english}
        assert "▁많이" in {one.token for one in korean}
    else:
        first, second = (run.generate(text, max_tokens=20, seed=1)[0] for text in ("The old prince", "오늘은"))
        assert first.text.startswith("The old prince")
        assert any("가" <= letter <= "힣" for letter in second.text[3:])


def test_a_path_that_exists_wins_over_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve("cmudict") == along()["cmudict"]
    Path("cmudict").mkdir()
    assert resolve("cmudict") == Path("cmudict")


def test_an_unknown_name_is_told_with_the_nearest(attentio: Callable, tmp_path: Path) -> None:
    said = attentio("look", "cmudcit", "hello")
    assert said.code == 2
    assert said.err.endswith("did you mean 'cmudict'?\n")
    missing = attentio("look", tmp_path / "cmudict", "hello")
    assert missing.code == 2
    assert missing.err.endswith("did you mean 'cmudict'?\n")  # the folder of a training that was not made


def test_a_page_is_made_from_a_name_alone(attentio: Callable, tmp_path: Path) -> None:
    said = attentio("look", "cmudict", "attentio", "--out", tmp_path / "page.html")
    assert (said.code, said.err) == (0, "")
    assert "attentio" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_what_a_verb_writes_of_a_bundle_goes_to_the_current_folder(
    attentio: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert outputs_folder("cmudict", "pictures") == Path("pictures/cmudict")
    (tmp_path / "run").mkdir()
    assert outputs_folder("run", "pictures") == Path("run/pictures")
    (tmp_path / "few.tsv").write_text("cat\tK AE T\n")
    assert attentio("evaluate", "cmudict", "--data", "few.tsv").code == 0
    assert (tmp_path / "evaluation" / "cmudict" / "scores.json").is_file()


def test_every_verb_for_translation_takes_a_name(attentio: Callable) -> None:
    assert attentio("translate", "cmudict", given=b"cat\n").out == "K AE T\n"
    assert attentio("align", "cmudict", given=b"cat\tK AE T\n").out.strip() == "0-0 1-1 2-2"


def test_the_list_and_the_cards_are_shown(attentio: Callable) -> None:
    listed = attentio("models")
    assert listed.code == 0
    assert all(name in listed.out for name in NAMES)
    card = attentio("models", "cmudict")
    assert card.code == 0
    assert "attentio train cmudict" in card.out
    assert attentio("models", "cmudcit").err.endswith("did you mean 'cmudict'?\n")


def test_a_run_is_exported_with_what_was_measured_of_it(attentio: Callable, toy: Any, tmp_path: Path) -> None:
    out = tmp_path / "reverse.zip"
    said = attentio("export", toy.run, "--to", "bundle", "--out", out)
    assert said.code == 0
    assert said.out.startswith(f"wrote {out}, ")
    again, run = at.load(out), at.load(toy.run)
    words = ["abcd", "hgfe", "dcba"]
    for ours, theirs in zip(run.translate(words), again.translate(words), strict=True):
        assert theirs.text == ours.text
        assert theirs.score == pytest.approx(ours.score, abs=0.01)
    assert read_card(out)["parameters"] == sum(one.numel() for one in run.model.parameters())
    assert "already" in attentio("export", out, "--to", "bundle").err


def test_errors_call_it_by_its_name_and_not_by_where_it_is_installed(attentio: Callable) -> None:
    for words in (
        ("look", "cmudict", "cat", "--layer", "1"),
        ("fill", "cmudict", "a [MASK]"),
        ("look", "dates-none", "14"),
    ):
        said = attentio(*words)
        assert said.code == 2
        assert "models_along" not in said.err
    assert said.err == "attentio: dates-none was trained without attention, so there is none to look at\n"
    assert attentio("export", "cmudict", "--to", "bundle").err.startswith("attentio: cmudict is in that format already")


@pytest.mark.parametrize("given", ["dates-luong", "bundle"])
def test_nothing_is_trained_on_from_a_bundle(given: str, attentio: Callable, tmp_path: Path) -> None:
    path = along()["dates-luong"] if given == "bundle" else given
    said = attentio("train", path, "--run", tmp_path / "run")
    assert said.code == 2
    assert "is a bundle, and no configuration" in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_the_doctor_examines_a_run(attentio: Callable) -> None:
    said = attentio("doctor", "dates-bahdanau", "--json")
    assert said.code == 0, said.out + said.err
    assert {"teacher-forcing-leak", "padding-leak", "encoder-reads-padding"} <= set(json.loads(said.out)["checked"])


def test_at_a_prompt_runs_and_what_they_return_fit_in_a_line():
    run = at.load("dates-luong")
    (best,) = run.translate(["14 March 2026"])
    assert re.fullmatch(r"<Run \S+: luong general, input feeding, [\d,]+ parameters>", repr(run))
    rows, columns = best.attention.shape
    assert repr(best) == f"Translation('2026-03-14', score {best.score:.3f}, attention [{rows}, {columns}])"
    assert re.fullmatch(r"<Page of \d\.\d MB; \.save\(path\) writes it>", repr(run.inspect("14 March 2026").page()))


@pytest.mark.parametrize(
    ("model", "method"), [("dates-luong", "translate"), ("masked-lm", "fill_all"), ("causal-lm", "score")]
)
def test_one_text_is_not_taken_letter_by_letter(model: str, method: str):
    with pytest.raises(ValueError, match=r"texts must be a list of texts, got one text; write \['hello'\]"):
        getattr(at.load(model), method)("hello")


def test_nothing_is_filled_where_nothing_is_asked():
    assert at.load("masked-lm").fill_all([]) == []


@pytest.mark.parametrize("name", NAMES)
def test_other_data_of_any_form_can_be_measured(name: str) -> None:
    data = at.load(name).config.data
    assert (data.separator, data.header, data.columns) == ("auto", "auto", None)

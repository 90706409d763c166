"""attentio export: what it says, and that what it says works."""

import contextlib
import errno
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from toy_pairs import as_arguments, reverse, write_words

import attentio as at
from attentio.commands.export import _whole
from attentio.commands.main import main
from attentio.runs.card import read_card

SMALL = {
    "model.transformer.width": 8,
    "model.transformer.heads": 2,
    "model.transformer.feed_forward": 12,
    "training.max_steps": 2,
    "training.validate_every": 2,
    "data.test": "null",
}
LEARNED = {"model.transformer.positions": "learned", "model.transformer.max_length": 64, "text.block": 32}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Trains for two updates, which is enough to have weights."""

    def train(name: str, **options: Any) -> Path:
        folder = tmp_path_factory.mktemp(name)
        pairs = write_words(folder / "pairs.tsv", reverse, count=50, seed=5)
        (folder / "text.txt").write_text(pairs.read_text().replace("\t", " "))
        data = pairs if name == "marian" else folder / "text.txt"
        given = SMALL | {"data.train": data, "data.dev": data} | options
        assert main(["train", "luong", "--run", str(folder / "run"), *as_arguments(given)]) == 0
        return folder / "run"

    return train


def run_snippet(out: str, text: str) -> Any:
    """What the last line of the printed snippet gives, with the text in place of its dots."""
    *before, last = [line.removeprefix("    ") for line in out.splitlines() if line.startswith("    ")]
    assert len(before) == 2
    names: dict[str, Any] = {}
    with contextlib.redirect_stderr(io.StringIO()):
        exec("\n".join(before), names)
        return eval(last.replace('"... <mask> ..."', repr(text)).replace('"..."', repr(text)), names)


def test_a_masked_model_is_exported_as_told(trained: Callable, attentio: Callable) -> None:
    run = trained("bert", **LEARNED | {"model.type": "masked-lm", "model.transformer.activation": "gelu"})
    said = attentio("export", run, "--to", "huggingface")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"wrote {run / 'huggingface'};")
    theirs = run_snippet(said.out, "ab<mask>d")
    ours = {one.token: one.probability for one in at.load(run).fill("ab[MASK]d", top=3)[0]}
    assert ours == {
        one["token_str"]: pytest.approx(one["score"], rel=1e-4) for one in theirs if one["token_str"] in ours
    }


def test_a_causal_model_is_exported_as_told(trained: Callable, attentio: Callable, tmp_path: Path) -> None:
    options = {
        "model.type": "causal-lm",
        "model.transformer.activation": "gelu-tanh",
        "model.transformer.pre_norm": "true",
    }
    run = trained("gpt", **LEARNED | options)
    said = attentio("export", run, "--to", "huggingface", "--out", tmp_path / "out")
    assert said.out.startswith(f"wrote {tmp_path / 'out'};")
    assert run_snippet(said.out, "ab")[0]["generated_text"].startswith("ab")
    assert not (run / "huggingface").exists()


@pytest.mark.parametrize("shared", ["true", "false"])
def test_a_translator_is_exported_as_told(shared: str, trained: Callable, attentio: Callable) -> None:
    run = trained("marian", **{"model.encoder": "transformer", "model.decoder": "transformer", "text.shared": shared})
    said = attentio("export", run, "--to", "huggingface")
    assert said.code == 0
    assert ("target" in said.out) == (shared == "false")
    assert isinstance(run_snippet(said.out, "abc"), str)
    again = attentio("export", run / "huggingface", "--to", "huggingface")
    assert again.code == 2
    assert "in that format already" in again.err


def test_what_cannot_be_exported_is_told_on_one_line(toy: Any, attentio: Callable) -> None:
    said = attentio("export", toy.run, "--to", "huggingface")
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert "model.encoder: recurrent" in said.err
    assert not (toy.run / "huggingface").exists()


@pytest.mark.parametrize(("format", "model"), [("huggingface", "dates-transformer"), ("onnx", "dates-local")])
def test_a_folder_with_files_is_not_written_over(format: str, model: str, attentio: Callable, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("mine")
    said = attentio("export", model, "--to", format, "--out", tmp_path)
    assert said.code == 2
    assert f"{tmp_path} holds files already; name a folder that is new or empty" in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
    assert (tmp_path / "config.json").read_text() == "mine"
    said = attentio("export", model, "--to", format, "--out", tmp_path / "config.json")
    assert f"{tmp_path / 'config.json'} is a file; name a folder" in said.err


def test_a_bundle_takes_the_place_of_a_bundle_only(trained: Callable, attentio: Callable, tmp_path: Path) -> None:
    run = trained("marian", **{"model.encoder": "transformer", "model.decoder": "transformer"})
    said = attentio("export", run, "--to", "bundle", "--out", tmp_path)
    assert f"{tmp_path} is a folder; name a file, such as {tmp_path / 'luong.zip'}" in said.err
    (tmp_path / "mine").write_text("mine")
    said = attentio("export", run, "--to", "bundle", "--out", tmp_path / "mine")
    assert f"{tmp_path / 'mine'} is a file already, and no bundle" in said.err
    assert (tmp_path / "mine").read_text() == "mine"
    for _ in range(2):
        assert attentio("export", run, "--to", "bundle", "--out", tmp_path / "it.zip").code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["it.zip", "mine"]


def test_a_bundle_tells_the_scores_of_its_own_weights_alone(
    trained: Callable, attentio: Callable, tmp_path: Path
) -> None:
    transformer = {"model.encoder": "transformer", "model.decoder": "transformer"}
    run, other = (trained("marian", **transformer, **{"training.seed": seed}) for seed in (1, 2))
    assert attentio("evaluate", run, "--data", run.parent / "pairs.tsv").code == 0
    scores = run / "evaluation" / "scores.json"
    os.utime(scores, (0, 0))  # as a copy may have it
    (other / "evaluation").mkdir()
    shutil.copy(scores, other / "evaluation")  # newer than the checkpoint
    quality = []
    for one in (run, other):
        assert attentio("export", one, "--to", "bundle", "--out", tmp_path / "it.zip").code == 0
        quality.append(read_card(tmp_path / "it.zip")["quality"])
    assert quality[0]["scores"]
    assert quality[1] is None


FULL = """
import resource, signal, sys
from attentio.commands.main import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit for the size of a file")
@pytest.mark.parametrize("to", ["huggingface", "ctranslate2", "onnx"])
def test_an_export_that_cannot_be_written_leaves_the_one_that_was_there(to: str, tmp_path: Path) -> None:
    def export(*given: str) -> subprocess.CompletedProcess:
        words = ["export", "dates-transformer", "--to", to]
        return subprocess.run(
            [sys.executable, *given, *words], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    stopped = export("-c", FULL)
    assert (stopped.returncode, stopped.stdout, files()) == (2, "", {})
    assert str(Path(to, "dates-transformer")) in stopped.stderr
    assert os.strerror(errno.EFBIG) in stopped.stderr
    whole = export("-m", "attentio")
    assert whole.returncode == 0, whole.stderr
    before = files()
    assert len(before) > 3
    assert export("-c", FULL).returncode == 2
    assert files() == before
    assert export("-m", "attentio").returncode == 0
    assert files().keys() == before.keys()


def test_of_an_earlier_export_only_what_others_put_there_stays(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "target").mkdir(parents=True)
    for name in ("model", "target/tokenizer.json", "mine.py"):
        (out / name).write_text("old")
    with _whole(out, stale=["target/tokenizer.json", "never"]) as folder:
        (folder / "model").write_text("new")
        assert (out / "model").read_text() == "old"
    assert {path.name: path.read_text() for path in out.rglob("*") if path.is_file()} == {
        "model": "new",
        "mine.py": "old",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["out"]

"""What people install: the distributions are complete, and a part that is not installed is asked for by name."""

import re
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.metadata import Metadata

import attentio

ROOT = Path(__file__).parents[2]
EXTRAS = {
    "train": ("lightning_fabric", "tensorboardX", "sacrebleu", "rapidfuzz", "babel"),
    "plot": ("matplotlib",),
    "hf": ("datasets",),
    "serve": ("uvicorn", "starlette", "prometheus_client"),
    "fast": ("ctranslate2",),
    "onnx": ("onnxscript",),  # torch itself asks whether onnx is there
}
WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def without(packages: tuple[str, ...], code: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Runs code in an interpreter in which these packages are not installed."""
    program = WITHOUT.format(absent=set(packages)) + code
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=folder, check=False)


def test_the_metadata_are_valid_and_tell_the_version_of_the_package(dist: Path) -> None:
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Metadata.from_email(wheel.read(name), validate=True)
    assert str(metadata.version) == attentio.__version__
    assert metadata.license_expression
    assert metadata.requires_python is not None
    assert "3.11" in metadata.requires_python
    assert metadata.description is not None
    assert "attention" in metadata.description
    assert {"train", "plot", "hf", "serve"} <= set(metadata.provides_extra or ())


def test_the_wheel_holds_all_that_is_read_at_run_time_and_no_tests(dist: Path) -> None:
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
    source = ROOT / "src"
    wanted = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    wanted = {name for name in wanted if "__pycache__" not in name}
    assert "attentio/py.typed" in wanted
    assert wanted <= names
    assert all(name.startswith("attentio") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_source_distribution_can_set_itself_up_and_test_itself(dist: Path) -> None:
    with tarfile.open(next(dist.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"Makefile", "constraints.txt", "pyproject.toml", "tests/conftest.py", "docs/guide.md", "LICENSE"} <= names


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("train", ["train", "luong"]),
        ("plot", ["compare", "luong", "none"]),
        ("hf", ["train", "luong", "--data.train", "hub:a:b"]),
        ("serve", ["serve", "cmudict"]),
        ("fast", ["export", "dates-transformer", "--to", "ctranslate2"]),
        ("onnx", ["export", "dates-luong", "--to", "onnx"]),
    ],
)
def test_a_verb_that_misses_an_extra_names_it_before_it_writes(extra: str, words: list[str], tmp_path: Path) -> None:
    done = without(EXTRAS[extra], f"from attentio.commands.main import main; sys.exit(main({words}))", tmp_path)
    assert done.returncode == 2
    assert re.fullmatch(rf"attentio: \w+ is not installed, .*: pip install 'attentio\[{extra}\]'\n", done.stderr)
    assert not list(tmp_path.iterdir())


def test_the_base_alone_attends_captures_diagnoses_shows_and_has_trained_models(tmp_path: Path) -> None:
    code = """
import torch, attentio as at
x = torch.randn(1, 5, 16)
assert at.attend(x, x, x, mask=at.causal()).context.shape == x.shape
model = torch.nn.TransformerEncoder(torch.nn.TransformerEncoderLayer(16, 2, batch_first=True), 1).eval()
with torch.no_grad(), at.capture(model) as seen:
    model(x)
at.view(seen, list("abcde")).save("page.html")
at.diagnose(model, x)
assert at.load("cmudict").translate(["cat"])[0].text == "K AE T"
assert all(getattr(at, name) is not None for name in at.__all__)
"""
    absent = sum(EXTRAS.values(), ())
    done = without((*absent, "transformers", "playwright"), code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "page.html").stat().st_size > 10_000


def test_every_requirement_of_the_lock_is_pinned_and_installed_as_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9.-]+==[\w.]+( ; .+)?", pin) for pin in pins)
    pinned = {pin.partition(" ")[0] for pin in pins}
    names = {pin.partition("==")[0] for pin in pinned}
    installed = {
        (re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower(), one.version.partition("+")[0]) for one in distributions()
    }
    ours = {(name, version) for name, version in installed if name not in ("attentio", "pip", "setuptools")}
    assert {name for name, _ in ours} <= names
    assert {f"{name}=={version}" for name, version in ours} <= pinned


def test_no_dependency_is_under_the_gpl_and_all_are_listed() -> None:
    listed = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    assert "GPL" not in listed.partition("| Name")[2]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    here = {re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower() for one in distributions()}
    names = {line.partition("==")[0] for line in lines if "==" in line} & here - {"pip", "setuptools"}
    rows = {re.sub(r"[-_.]+", "-", row).lower() for row in re.findall(r"^\| ([\w.-]+) ", listed, re.MULTILINE)}
    assert names <= rows

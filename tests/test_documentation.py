"""Every snippet in the documents runs, in the order it stands there, in a folder that has a trained `runs/cmudict`."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from toy_runs import made_once

ROOT = Path(__file__).parents[1]
TWIN = Path("README.ko.md")
"""Shows the commands of README.md, which a test of its own holds, so they need not run twice."""
DOCUMENTS = [path.relative_to(ROOT) for path in (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")))]
DOCUMENTS.remove(TWIN)
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHOWN = {"text", "yaml", "csv"}
"""Languages of blocks that are only to be looked at: output, and files."""


@pytest.fixture(scope="session")
def folder(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader would be after `make demo`, though the model has seen less."""

    def make(folder: Path) -> None:
        options = "--training.max_steps 30 --training.validate_every 30 --training.validation_size 20 --model.hidden 32"
        trained = _run(["attentio", "train", "cmudict", *options.split()], folder, programs)
        assert trained.returncode == 0, trained.stderr

    return made_once("reader", make, tmp_path_factory)


def _run(words: list[str], folder: Path, programs: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        cwd=folder,
        env={**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_snippet_of_the_document_runs(document: Path, folder: Path, programs: Path) -> None:
    for language, code in FENCE.findall((ROOT / document).read_text(encoding="utf-8")):
        if language == "python":
            done = _run(["python", "-c", code], folder, programs)
        elif language == "bash":  # make would set up a second environment; that its target exists is all we ask
            code = re.sub(r"^make ", f"make --dry-run --directory {ROOT} ", code, flags=re.MULTILINE)
            done = _run(["bash", "-euo", "pipefail", "-c", code], folder, programs)
        else:
            assert language in SHOWN, f"{document}: what is a {language} block?"
            continue
        assert done.returncode == 0, f"{document}:\n{code}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"


def test_the_speed_of_pages_is_that_which_was_measured() -> None:
    measured = json.loads((ROOT / "benchmarks" / "results" / "page_speed.json").read_text())["pages"].values()
    table = (ROOT / "docs" / "page.md").read_text(encoding="utf-8").split("## Size and speed")[1]
    rows = [line.split(" | ")[1:] for line in table.splitlines() if " MB | " in line]
    said = [
        [
            f"{page['bytes'] / 1e6:.1f} MB",
            f"{page['making']:.1f} s",
            f"{page['drawn']:.1f} s",
            f"{page['milliseconds of a drawing']:.1f} ms",
            *(f"{page[way]['mean']:.0f} ({page[way]['slowest 5 %']:.0f})" for way in ("scrolling", "zooming")),
        ]
        for page in measured
    ]
    assert [[cell.removesuffix(" |") for cell in row] for row in rows] == said


def test_both_readmes_show_the_same_commands() -> None:
    english, korean = (FENCE.findall((ROOT / name).read_text(encoding="utf-8")) for name in ("README.md", TWIN))
    assert [block for block in english if block[0] != "text"] == [block for block in korean if block[0] != "text"]
    assert english

"""The guide in docs/learn: what its chapters show is what their blocks print, in both languages."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from chapters import LANGUAGES, LEARN, RUNS, blocks, chapters, run, runnable, shows
from notebooks import write

import attentio

PACKAGE = Path(attentio.__file__).parent
FEW = "1 May 2000\t2000-05-01\n14 March 2026\t2026-03-14\n"
COMPARISON = re.compile(r"(attentio compare \S+(?: --out \S+)?).*")
SHORTER = r"\1 --training.max_steps 2 --data.train few.tsv --data.dev few.tsv --data.test few.tsv"
"""A comparison takes minutes, so only that it runs is tested."""


def texts(name: str) -> list[str]:
    return [(LEARN / language / name).read_text(encoding="utf-8") for language in LANGUAGES]


def pages() -> list[Path]:
    return sorted(LEARN.glob("*/*.md"))


@pytest.mark.parametrize("name", chapters())
def test_what_a_chapter_shows_is_what_its_blocks_print(name: str, tmp_path: Path, programs: Path) -> None:
    (tmp_path / "few.tsv").write_text(FEW, encoding="utf-8")
    for block, output in runnable(texts(name)[0]):
        block = block._replace(text=COMPARISON.sub(SHORTER, block.text))
        printed = run(block, tmp_path, programs)
        assert output is None or shows(output, printed), f"{name} shows\n{output}\nand what is printed is\n{printed}"


@pytest.mark.parametrize("name", chapters())
def test_a_chapter_has_the_same_code_outputs_and_equations_in_both_languages(name: str) -> None:
    korean, english = texts(name)
    assert runnable(korean) == runnable(english) != []
    for parts in (r"^\$\$.*?\$\$$", r"^#+ ", r"^!\[", r"^<details markdown>$", r"^</details>$"):
        found = [re.findall(parts, text, re.MULTILINE | re.DOTALL) for text in (korean, english)]
        assert found[0] == found[1], parts


@pytest.mark.parametrize("name", chapters())
def test_a_chapter_has_an_equation_code_a_command_and_an_answer(name: str) -> None:
    for text in texts(name):
        assert {block.language for block in blocks(text)} == {"", "text", *RUNS}
        assert "$$" in text
        assert text.count("<details markdown>") == text.count("</details>") == 1
        assert "```python" in text.partition("<details markdown>")[2].partition("</details>")[0], "an unchecked answer"


def test_both_languages_have_the_same_pages() -> None:
    assert [path.name for path in pages() if path.parent.name == "ko"] == [
        path.name for path in pages() if path.parent.name == "en"
    ]


def test_the_site_leads_to_every_document() -> None:
    settings = (LEARN.parents[1] / "mkdocs.yml").read_text(encoding="utf-8")
    listed = re.findall(r"^ +- (\S+\.md)$", settings, re.MULTILINE)
    assert sorted(listed) == sorted(path.relative_to(LEARN.parent).as_posix() for path in LEARN.parent.rglob("*.md"))


@pytest.mark.parametrize(
    "page", [*pages(), LEARN.parent / "README.md"], ids=lambda path: f"{path.parent.name}-{path.name}"
)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("page", "least"), [("papers.md", 30), ("glossary.md", 25)])
def test_what_a_term_or_equation_is_in_the_code_exists_there(language: str, page: str, least: int) -> None:
    named = re.findall(r"`([\w/]+\.py)` `(\w+)`", (LEARN / language / page).read_text(encoding="utf-8"))
    assert len(named) >= least
    for file, name in named:
        code = (PACKAGE / file).read_text(encoding="utf-8")
        assert re.search(rf"^(class|def) {name}\b|^{name} = ", code, re.MULTILINE), f"{file} has no {name}"


def test_every_chapter_becomes_a_notebook_with_the_same_code_and_outputs(tmp_path: Path) -> None:
    written = write(tmp_path)
    assert len(written) == len(LANGUAGES) * len(chapters())
    for path in written:
        shown = runnable((LEARN / path.parent.name / f"{path.stem}.md").read_text(encoding="utf-8"))
        cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        in_answers = len(shown) - len(cells)
        assert in_answers == 1
        for cell, (block, output) in zip(cells, shown, strict=False):
            assert cell.source.replace("!", "") == block.text.rstrip().replace("\\\n", "").replace("!", "")
            assert [each.text for each in cell.outputs] == ([] if output is None else [output])


def test_the_site_shows_formulas_without_scripts_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    shutil.copytree(LEARN.parent, tmp_path / "docs")
    shutil.copy(LEARN.parents[1] / "mkdocs.yml", tmp_path)
    built = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--config-file", "mkdocs.yml"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": "docs/making"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    for language in LANGUAGES:
        for name in chapters():
            html = (tmp_path / "build" / "site" / "learn" / language / name.replace(".md", ".html")).read_text(
                encoding="utf-8"
            )
            assert "<math" in html
            assert not re.search(r"FORMULA\d+HELD|\$\$", html)
            assert not re.search(r"(src|<link[^>]*href)=\"?(https?:)?//", html)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("a 0.67\n", "a 0.67\n"),
        ("a   0.67\n", "a 0.68  \n"),
        ("1,234 tokens\n", "1,234 tokens"),
        ("...\nb\n", "a\na\nb"),
        ("a\n...\n", "a\nb"),
        ("a\n...\nc\n", "a\nb\nb\nc"),
        ("a\n...\nc\n", "a\nc"),
        ("0.00\n", "-0.00"),
    ],
)
def test_an_output_is_as_shown(shown: str, printed: str) -> None:
    assert shows(shown, printed)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("a 0.67\n", "a 0.69\n"),
        ("a 0.67\n", "b 0.67\n"),
        ("7\n", "8\n"),
        ("a\n", "a\nb\n"),
        ("a\nb\n", "a\n"),
        ("...\nb\n", "a\nb\nc"),
        ("a\n...\na\n", "a"),
        ("a\n...\nc\n...\n", "a\nb\n"),
    ],
)
def test_an_output_is_not_as_shown(shown: str, printed: str) -> None:
    assert not shows(shown, printed)

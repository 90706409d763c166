"""Every chapter of the guide as a notebook, with the outputs that it shows: python docs/making/notebooks.py FOLDER."""

import shutil
import sys
from pathlib import Path

import nbformat
from chapters import LANGUAGES, LEARN, Block, blocks, chapters
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output


def notebook(markdown: str) -> nbformat.NotebookNode:
    """Prose, and answers with all that is in them, become cells of text, the other blocks cells of code."""
    cells: list[nbformat.NotebookNode] = []
    prose = ""
    for block in blocks(markdown):
        if not block.language or _is_open(prose) or (block.language not in ("python", "bash", "text")):
            prose += block.text if not block.language else f"```{block.language}\n{block.text}```\n"
        elif block.language == "text" and cells and not prose.strip():
            cells[-1].outputs = [new_output("stream", text=block.text)]
        elif block.language == "text":
            prose += f"```text\n{block.text}```\n"
        else:
            cells += [*_text(prose), new_code_cell(_code(block))]
            prose = ""
    made = new_notebook(
        cells=[*cells, *_text(prose)],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    for number, cell in enumerate(made.cells):  # drawn at random otherwise: the same chapter, the same file
        cell.id = f"cell-{number}"
    nbformat.validate(made)
    return made


def _is_open(prose: str) -> bool:
    return prose.count("<details") > prose.count("</details>")


def _text(prose: str) -> list[nbformat.NotebookNode]:
    return [new_markdown_cell(prose.strip().replace(".md)", ".ipynb)"))] if prose.strip() else []


def _code(block: Block) -> str:
    if block.language == "python":
        return block.text.rstrip()
    return "\n".join(f"!{line}" for line in block.text.rstrip().replace("\\\n", "").splitlines())


def write(folder: Path) -> list[Path]:
    """All of them, beside the pictures that they show."""
    shutil.copytree(LEARN / "images", folder / "images", dirs_exist_ok=True)
    written = []
    for language in LANGUAGES:
        for name in chapters():
            path = folder / language / name.replace(".md", ".ipynb")
            path.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(notebook((LEARN / language / name).read_text(encoding="utf-8")), path)
            written.append(path)
    return written


if __name__ == "__main__":
    print(f"wrote {len(write(Path(sys.argv[1])))} notebooks to {sys.argv[1]}")

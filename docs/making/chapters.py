"""The chapters of the guide as blocks: what each prints when it is run, and whether that is what is shown below it.

In a chapter, a block of `text` that directly follows a block of `python` or `bash` is its output. A line of `...` in it
stands for any lines. Numbers are compared to the digits that are shown.

    python docs/making/chapters.py [01-fixed-vector.md ..]     put the outputs of today where others stand
"""

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

LEARN = Path(__file__).parents[1] / "learn"
LANGUAGES = ("ko", "en")
RUNS = ("python", "bash")

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(r"-?\d+(?:,\d{3})*(?:\.\d+)?")
_ANY_LINES = "..."


class Block(NamedTuple):
    """language: of the fence; "" for prose, which is all between two fences."""

    language: str
    text: str


class Shown(NamedTuple):
    """A block that runs and the output that the chapter shows of it, None if it shows none."""

    block: Block
    output: str | None


def chapters() -> list[str]:
    """The names of the chapters' files, which are the same in every language, in order."""
    return sorted(path.name for path in (LEARN / LANGUAGES[0]).glob("[0-9]*.md"))


def blocks(markdown: str) -> list[Block]:
    """Prose and fences in turn, beginning and ending with prose."""
    found, end = [], 0
    for fence in _FENCE.finditer(markdown):
        found += [Block("", markdown[end : fence.start()]), Block(fence[1], fence[2])]
        end = fence.end()
    return [*found, Block("", markdown[end:])]


def runnable(markdown: str) -> list[Shown]:
    """The blocks that run, in order, with their outputs."""
    all_blocks = blocks(markdown)
    found = []
    for place, block in enumerate(all_blocks):
        if block.language in RUNS:
            between, after = (*all_blocks[place + 1 : place + 3], Block("", ""))[:2]
            follows = after.language == "text" and not between.text.strip()
            found.append(Shown(block, after.text if follows else None))
    return found


def run(block: Block, folder: Path, programs: Path = Path(sys.executable).parent) -> str:
    """What the block prints. Raises what Python raises, and RuntimeError for a command that fails.

    programs: where `attentio` is.
    """
    if block.language == "python":
        return _run_python(block.text, folder)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.text],
        cwd=folder,
        env={**os.environ, "PATH": path, "COLUMNS": "100", "LANGUAGE": "en"},
        capture_output=True,
        encoding="utf-8",
        timeout=600,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{block.text}\nends with code {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def _run_python(code: str, folder: Path) -> str:
    """In this process: a process of its own for every block would spend its time importing torch."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.chdir(folder):
        exec(compile(code, "<block>", "exec"), {"__name__": "__main__"})
    return printed.getvalue()


def shows(shown: str, printed: str) -> bool:
    """Whether the output that is shown is what was printed."""
    parts = [part.strip("\n").splitlines() for part in re.split(r"^\.\.\.$\n?", shown, flags=re.MULTILINE)]
    lines = printed.strip("\n").splitlines()
    place = 0
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        starts = range(place, len(lines) - len(part) + 1) if number else [0]
        if number and last:
            starts = [len(lines) - len(part)]
        fits = [start for start in starts if start >= place and _same_lines(part, lines[start : start + len(part)])]
        if not fits:
            return False
        place = fits[0] + len(part)
    return place == len(lines)


def _same_lines(shown: list[str], printed: list[str]) -> bool:
    return len(shown) == len(printed) and all(map(_same, shown, printed))


def _same(shown: str, printed: str) -> bool:
    words = [" ".join(_NUMBER.sub("#", line).split()) for line in (shown, printed)]
    numbers = [_NUMBER.findall(line) for line in (shown, printed)]
    return words[0] == words[1] and all(map(_near, *numbers))


def _near(shown: str, printed: str) -> bool:
    """Equal, or of fractions one apart in the last digit, as another processor may round."""
    digits = len(shown.partition(".")[2])
    apart = abs(float(shown.replace(",", "")) - float(printed.replace(",", "")))
    return apart <= (1.01 * 10**-digits if digits else 0)


def _refresh(name: str, folder: Path) -> None:
    """Put the outputs of today where others stand, in every language: the code is the same in all."""
    paths = [LEARN / language / name for language in LANGUAGES]
    texts = [path.read_text(encoding="utf-8") for path in paths]
    for block, output in runnable(texts[0]):
        if block.text.startswith("attentio compare"):  # takes minutes, and its figures stand in a table
            continue
        try:
            printed = run(block, folder)
        except Exception as error:
            print(f"{name}: {error}")
            continue
        if output is None or shows(output, printed):
            continue
        tidy = "\n".join(line.rstrip() for line in printed.strip("\n").splitlines())
        begin = f"```{block.language}\n{block.text}```\n\n```text\n"
        texts = [text.replace(f"{begin}{output}```\n", f"{begin}{tidy}\n```\n") for text in texts]
        print(f"{name}: new output of\n{block.text}{tidy}\n")
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    import tempfile

    for given in sys.argv[1:] or chapters():
        with tempfile.TemporaryDirectory() as temporary:
            _refresh(given, Path(temporary))

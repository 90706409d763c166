"""For the site's generator: formulas between dollars become MathML, which browsers draw without a script."""

import re

from latex2mathml.converter import convert
from markdown import Markdown
from markdown.extensions import Extension
from markdown.postprocessors import Postprocessor
from markdown.preprocessors import Preprocessor

_CODE = re.compile(r"(^```.*?^```$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
_FORMULA = re.compile(r"\$\$(.+?)\$\$|\$([^$\n]+?)\$", re.DOTALL)
_PAGE = re.compile(r"<!-- page: (\S+) -->")
_HELD = "FORMULA{}HELD"


class _Hold(Preprocessor):
    """Takes the formulas out before Markdown reads their underscores; puts a frame where a page is wanted."""

    def __init__(self, md: Markdown, formulas: list[str]) -> None:
        super().__init__(md)
        self.formulas = formulas

    def run(self, lines: list[str]) -> list[str]:
        self.formulas.clear()
        parts = _CODE.split("\n".join(lines))
        parts[::2] = [_FORMULA.sub(self._hold, prose) for prose in parts[::2]]
        frame = r'<iframe src="\1" style="width: 100%; height: 46rem; border: 0"></iframe>'
        return _PAGE.sub(frame, "".join(parts)).split("\n")

    def _hold(self, found: re.Match[str]) -> str:
        formula = convert((found[1] or found[2]).strip(), display="block" if found[1] else "inline")
        self.formulas.append(formula)
        return _HELD.format(len(self.formulas) - 1)


class _Release(Postprocessor):
    """Puts them back."""

    def __init__(self, formulas: list[str]) -> None:
        self.formulas = formulas

    def run(self, text: str) -> str:
        return re.sub(_HELD.format(r"(\d+)"), lambda found: self.formulas[int(found[1])], text)


class Formulas(Extension):
    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 (its name is given)
        formulas: list[str] = []
        md.preprocessors.register(_Hold(md, formulas), "formulas", 200)
        md.postprocessors.register(_Release(formulas), "formulas", 0)


def makeExtension(**_: object) -> Extension:  # noqa: N802 (its name is given)
    return Formulas()

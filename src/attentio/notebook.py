"""What a notebook shows of a value: a frame, lines of text, and weights as grids.

Nothing runs and nothing is fetched, every text is escaped, and every size is bounded. Text has the reader's colour and
the rest is half transparent, so that it suits light and dark themes.
"""

import html
from collections.abc import Iterator, Sequence
from itertools import islice, product
from math import prod

import torch
from rich.cells import cell_len
from torch import Tensor

from attentio.errors import harmless

GRIDS = 3
"""Matrices of a tensor that are shown; of Seen, calls."""
POSITIONS = 20
"""Queries and keys of a matrix that are shown."""
LONGEST = 2000  # characters of a line
LONGEST_LABEL = 12  # characters
WITH_NUMBERS = 8  # queries and keys up to which cells show their numbers

AXES = ("sequence", "head")
"""Before those of queries and keys."""

_MIDDLE = 'text-anchor="middle"'

CALM, RIGHT, DOUBTFUL, WRONG = "#1a93a3", "#2e9e4f", "#c98a1b", "#d04437"


def frame(title: str, *inside: str, colour: str = CALM) -> str:
    """A bold title with a coloured bar on its left, above what `line`, `grid` and `frame` made."""
    style = f"border-left: 3px solid {colour}; margin: 4px 0; padding: 0 10px; line-height: 1.5"
    return f'<div style="{style}"><div><b>{_escaped(title)}</b></div>{"".join(inside)}</div>'


def line(text: str, name: str = "") -> str:
    """A line of text, its name before it in grey."""
    before = f'<span style="opacity: 0.65">{_escaped(name)}</span> ' if name else ""
    return f'<div style="white-space: pre-wrap">{before}{_escaped(text)}</div>'


def lines(texts: Sequence[str], name: str = "", most: int = 10) -> str:
    """The first lines, and how many are left out."""
    return "".join(line(text, name) for text in texts[:most]) + left_out(len(texts) - most)


def left_out(count: int, where: str = "") -> str:
    """How many things are not shown, and where they are; nothing where all are shown."""
    return line(f"and {count:,} more{where}") if count > 0 else ""


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, more: int = 0) -> str:
    """A table of texts. more: how many rows are left out."""
    style = ' style="text-align: left; padding: 1px 14px 1px 0"'
    head = "".join(f"<th{style}>{_escaped(text)}</th>" for text in headings)
    body = "".join("<tr>" + "".join(f"<td{style}>{_escaped(text)}</td>" for text in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" + left_out(more)


def matrices(shape: Sequence[int], axes: Sequence[str]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The first matrices of a tensor, named "sequence 0, head 1", by the sizes of the axes before their own two."""
    for place in islice(product(*map(range, shape)), GRIDS):
        yield ", ".join(f"{axis} {i}" for axis, i in zip(axes, place, strict=False)), place


def grids(
    weights: Tensor,
    *,
    axes: Sequence[str] = AXES,
    tokens: Sequence[str] = (),
    size: Sequence[int] | None = None,
) -> str:
    """The first matrices of a tensor of weights [.., q, k], side by side. tokens: at queries and keys."""
    drawn = (
        captioned(name, grid(weights[place], rows=tokens, columns=tokens, size=size))
        for name, place in matrices(weights.shape[:-2], axes)
    )
    return "".join(drawn) + left_out(prod(weights.shape[:-2]) - GRIDS)


def captioned(caption: str, picture: str) -> str:
    """A picture below its caption, beside others."""
    above = f'<div style="opacity: 0.65">{_escaped(caption)}</div>'
    return f'<div style="display: inline-block; margin: 4px 18px 4px 0">{above}{picture}</div>'


def grid(
    weights: Tensor,
    *,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    size: Sequence[int] | None = None,
) -> str:
    """A matrix of weights from 0 to 1 as a picture: queries down, keys across, a fuller colour for more.

    Each cell tells its place and number when pointed at. rows, columns: what stands at the queries and keys, where that
    is known. size: of the matrix, where `weights` is only its upper left corner.
    """
    q_len, k_len = size or weights.shape
    numbers = weights[:POSITIONS, :POSITIONS].detach().cpu().tolist()
    written = weights.dtype != torch.bool and max(q_len, k_len) <= WITH_NUMBERS
    wide, high = (40, 20) if written else (15, 15)
    q_shown, k_shown = min(q_len, POSITIONS), min(k_len, POSITIONS)
    queries, keys = ([_label(token) for token in tokens[:POSITIONS]] for tokens in (rows, columns))
    left, longest = (max((_pixels(label) + 8 for label in labels), default=0) for labels in (queries, keys))
    top = longest if longest - 8 > wide else 18 * bool(keys)
    width, height = left + wide * k_shown, top + high * q_shown
    out = [f'<rect x="{left}" y="{top}" width="{width - left}" height="{height - top}" fill-opacity="0.07"/>']
    for i, label in enumerate(queries):
        out.append(_text(left - 5, top + high * i + high - 4, label, 'text-anchor="end"'))
    for j, label in enumerate(keys):
        turned = _pixels(label) > wide
        x, y = left + wide * j + wide // 2 + 4 * turned, top - 5
        out.append(_text(x, y, label, f'transform="rotate(-90 {x} {y})"' if turned else _MIDDLE))
    for i, row in enumerate(numbers):
        for j, number in enumerate(row):
            x, y = left + wide * j, top + high * i
            place = f"{queries[i] if queries else f'query {i}'}, {keys[j] if keys else f'key {j}'}"
            said = ("may attend" if number else "masked") if weights.dtype == torch.bool else f"{number:.4g}"
            out.append(
                f'<rect x="{x}" y="{y}" width="{wide - 1}" height="{high - 1}" fill="{CALM}" '
                f'fill-opacity="{_shade(float(number)):.2g}"><title>{_escaped(place)}: {said}</title></rect>'
            )
            out += [_text(x + wide // 2, y + high - 5, f"{number:.2f}", f'{_MIDDLE} pointer-events="none"')] * written
    cut = f"the first {q_shown} of {q_len:,} queries, {k_shown} of {k_len:,} keys"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" fill="currentColor" '
        f'font-size="12" role="img">{"".join(out)}</svg>'
        + (f'<div style="opacity: 0.65">{cut}</div>' if (q_shown, k_shown) != (q_len, k_len) else "")
    )


def _shade(weight: float) -> float:
    """Opacity of a cell: it grows with the square root, so that small weights are seen, and leaves numbers readable."""
    return 0.8 * min(max(weight, 0.0), 1.0) ** 0.5 if weight == weight else 0.0


def _text(x: int, y: int, text: str, how: str) -> str:
    return f'<text x="{x}" y="{y}" {how}>{_escaped(text)}</text>'


def _pixels(label: str) -> int:
    return 7 * cell_len(label)


def _label(token: str) -> str:
    return token if len(token) <= LONGEST_LABEL else token[: LONGEST_LABEL - 1] + "…"


def _escaped(text: str) -> str:
    """Without what a browser or a terminal obeys, or a file cannot hold; ends of lines stay."""
    cut = text if len(text) <= LONGEST else f"{text[:LONGEST]} … and {len(text) - LONGEST:,} characters more"
    return html.escape("\n".join(map(harmless, cut.split("\n"))))

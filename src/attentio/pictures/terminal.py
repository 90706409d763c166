"""An attention matrix in the terminal: source tokens across, output tokens down, fuller for more."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float
from rich.console import Console
from rich.text import Text

from attentio.pictures.colours import colour
from attentio.pictures.labels import Weights, checked_weights, pretty

BLOCKS = " ░▒▓█"
DIGITS = " 123456789"
LONGEST_LABEL = 16  # terminal cells
GAP = " "


def alignment_text(
    weights: Weights,
    *,
    source_tokens: Sequence[str],
    target_tokens: Sequence[str],
    width: int = 80,
    shades: str = BLOCKS,
) -> Text:
    """The weights as text: a row for each output token, then the source token it looks at most.

    A source too long for `width` goes on below, in another set of the same rows. Columns are measured in
    terminal cells, so that wide (Korean) letters and combining marks keep them straight.

    Args:
        weights: from 0 to 1; row t is the attention that produced target token t.
        source_tokens: one a column.
        target_tokens: one a row.
        width: of the terminal, in cells.
        shades: characters for weights from 0 to 1, by their square roots, as colours are on the page.

    Raises:
        ValueError: the shape of the weights is not that of the tokens, or a weight is not from 0 to 1.
    """
    matrix = checked_weights(weights, source_tokens=source_tokens, target_tokens=target_tokens)
    # A line holds at least an output token, a column, and the strongest source token with its per cent.
    longest = max(2, min(LONGEST_LABEL, (width - 3 * len(GAP) - 5) // 3))
    sources = [_cut(token, longest) for token in pretty(source_tokens)]
    targets = [_cut(token, longest) for token in pretty(target_tokens)]
    margin = max((text.cell_len for text in targets), default=0)
    strongest = _strongest(matrix, sources)
    tail = max((text.cell_len for text in strongest), default=0)

    text = Text()
    for columns in _sets_of_columns(sources, width - margin - tail - 2 * len(GAP)):
        if columns[:1] != [0]:
            text.append("\n")
        text.append(" " * margin)
        for column in columns:
            text.append(GAP).append(_padded(sources[column], _column_width(sources[column])))
        text.append("\n")
        for row, target in enumerate(targets):
            text.append(" " * (margin - target.cell_len)).append_text(target)
            for column in columns:
                text.append(GAP).append_text(_cell(matrix, row, column, _column_width(sources[column]), shades))
            text.append(GAP * 2).append_text(strongest[row]).append("\n")
    legend = "  ".join(f"{shade} {(n / (len(shades) - 1)) ** 2:.0%}" for n, shade in enumerate(shades) if n)
    return text.append(legend, style="dim")


def print_alignment(
    weights: Weights,
    *,
    source_tokens: Sequence[str],
    target_tokens: Sequence[str],
    console: Console | None = None,
) -> None:
    """Print `alignment_text` as wide as the console; in digits where it cannot show blocks.

    Raises:
        ValueError: as `alignment_text`.
    """
    console = console or Console()
    blocks = "utf" in console.encoding.lower()
    text = alignment_text(
        weights,
        source_tokens=source_tokens,
        target_tokens=target_tokens,
        width=console.width,
        shades=BLOCKS if blocks else DIGITS,
    )
    if not blocks:
        text = Text(text.plain.encode(console.encoding, "replace").decode(console.encoding))
    console.print(text, no_wrap=True, overflow="ignore", crop=False)


def _cut(shown: str, longest: int) -> Text:
    text = Text(shown)
    text.truncate(longest, overflow="ellipsis")
    return text


def _column_width(source: Text) -> int:
    return max(2, source.cell_len)


def _padded(text: Text, width: int) -> str:
    return text.plain + " " * (width - text.cell_len)


def _sets_of_columns(sources: Sequence[Text], available: int) -> Iterator[list[int]]:
    """As many columns as fit at a time, and at least one."""
    columns: list[int] = []
    used = 0
    for column, source in enumerate(sources):
        needed = len(GAP) + _column_width(source)
        if columns and used + needed > available:
            yield columns
            columns, used = [], 0
        columns.append(column)
        used += needed
    yield columns


def _cell(matrix: Float[np.ndarray, "target source"], row: int, column: int, width: int, shades: str) -> Text:
    weight = min(float(matrix[row, column]), 1.0)
    shade = shades[round(weight**0.5 * (len(shades) - 1))]
    # A tile of the page's colour; without colours the shade is left.
    return Text(shade * width, style=f"{colour(weight)} on {colour(weight)}" if shade in BLOCKS.strip() else "")


def _strongest(matrix: Float[np.ndarray, "target source"], sources: Sequence[Text]) -> list[Text]:
    """What to write beside each row; nothing where the token looked nowhere."""
    longest = max((source.cell_len for source in sources), default=0)
    return [
        Text(f"{_padded(sources[int(row.argmax())], longest)} {row.max():4.0%}") if row.any() else Text()
        for row in matrix
    ]

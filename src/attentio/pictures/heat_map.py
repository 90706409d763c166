"""An attention matrix as a picture: source tokens across, output tokens down, darker for more weight."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.cells import cell_len

from attentio.pictures.colours import RAMPS, TICKS
from attentio.pictures.figure import INK, drawing
from attentio.pictures.labels import Weights, checked_weights, drawable, pretty

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LONGEST_LABEL = 30  # characters


def save_heat_map(
    path: Path,
    weights: Weights,
    *,
    source_tokens: Sequence[str],
    target_tokens: Sequence[str],
    title: str = "",
) -> Path:
    """Draw the weights with their tokens and save the picture; return its path.

    The shades always run from 0 to 1, so that pictures can be compared, and by the square root, as on the page, so that
    small weights are seen.

    Args:
        path: of the picture, ending in .png or .svg.
        weights: from 0 to 1; row t is the attention that produced target token t.
        source_tokens: one a column.
        target_tokens: one a row.
        title: written above.

    Raises:
        AttentioError: another suffix, or matplotlib is not installed.
        ValueError: the shape of the weights is not that of the tokens, there are no tokens, or a weight is
            not from 0 to 1.
    """
    matrix = checked_weights(weights, source_tokens=source_tokens, target_tokens=target_tokens)
    if not matrix.size:
        raise ValueError(f"weights must have at least one row and one column, got shape {matrix.shape}")
    columns, rows = _labels(source_tokens), _labels(target_tokens)
    # Inches: small matrices get larger cells; a cell always holds a line of its label.
    cell = min(0.42, max(0.24, 6 / max(matrix.shape)))
    width, height = cell * len(columns), cell * len(rows)

    with drawing(path, texts=[*columns, *rows, title, "…"], width=width, height=height) as figure:
        from matplotlib.colors import ListedColormap, PowerNorm

        axes = figure.add_axes((0, 0, 1, 1))
        image = axes.imshow(
            matrix,
            cmap=ListedColormap(RAMPS["light"] / 255),
            norm=PowerNorm(0.5, vmin=0, vmax=1),
            aspect="auto",
            interpolation="nearest",
        )
        _write_tokens(axes, columns, rows, size=32 * cell + 2)
        if title:
            axes.set_title(_from_the_left(drawable(title)), color=INK, fontsize=12, pad=12)
        # The scale stands beside the map, outside the figure, and does not grow with it.
        bar_height = min(1.0, 1.6 / height)
        bar = figure.add_axes((1 + 0.2 / width, 1 - bar_height, 0.1 / width, bar_height))
        scale = figure.colorbar(image, cax=bar, ticks=TICKS if height > 0.8 else [0, 1])
        bar.set_yticklabels([f"{tick:g}" for tick in scale.get_ticks()])
        scale.minorticks_off()
        bar.tick_params(length=0, labelsize=8, labelcolor=INK)
        scale.outline.set_visible(False)
    return path


def _from_the_left(title: str) -> str:
    """A title whose first letters run from the right, told to run from the left: "source → output" keeps its order."""
    first = next((letter for letter in title if unicodedata.bidirectional(letter) in ("L", "R", "AL")), "")
    return f"\N{LEFT-TO-RIGHT MARK}{title}" if unicodedata.bidirectional(first or "a") != "L" else title


def _labels(tokens: Sequence[str]) -> list[str]:
    return [text if len(text) <= LONGEST_LABEL else text[: LONGEST_LABEL - 1] + "…" for text in pretty(tokens)]


def _write_tokens(axes: "Axes", columns: Sequence[str], rows: Sequence[str], *, size: float) -> None:
    axes.set_xticks(range(len(columns)), columns, fontsize=size, color=INK)
    axes.set_yticks(range(len(rows)), rows, fontsize=size, color=INK)
    axes.tick_params(length=0, pad=5, top=True, labeltop=True, bottom=False, labelbottom=False)
    for tick, text in zip(axes.get_xticklabels(), columns, strict=True):
        # Letters, phones and syllables stand upright; what is wider would reach into the next column.
        tick.set_rotation(0 if cell_len(text) <= 2 else 90)
    axes.set_xlabel("source", color="gray", fontsize=9)
    axes.xaxis.set_label_position("top")
    axes.set_ylabel("output", color="gray", fontsize=9)
    # Thin white lines between the cells.
    axes.set_xticks([n - 0.5 for n in range(1, len(columns))], minor=True)
    axes.set_yticks([n - 0.5 for n in range(1, len(rows))], minor=True)
    axes.grid(which="minor", color="white", linewidth=1)
    axes.tick_params(which="minor", length=0, top=False)
    axes.spines[:].set_color("#c8ccd8")

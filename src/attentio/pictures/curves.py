"""Pictures of results: variants side by side, and quality against source length."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attentio.evaluation.by_length import LengthBin
from attentio.pictures.figure import INK, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which colour-blind readers can tell apart; black and yellow left out.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
MARKERS = "osD^vP"


def save_comparison(path: Path, rows: Sequence[tuple[str, float, float | None]], *, quality: str = "quality") -> Path:
    """Draw the variants' quality and speed as two panels of bars and save the picture; return its path.

    Args:
        path: of the picture, ending in .png or .svg.
        rows: (name of the variant, its quality, tokens per second if known), drawn from top to bottom.
        quality: what the quality is, for the heading; for instance "WER in per cent, lower is better".

    Raises:
        AttentioError: another suffix, or matplotlib is not installed.
        ValueError: there are no rows.
    """
    if not rows:
        raise ValueError("rows must hold at least one variant, got none")
    names = [name for name, _, _ in rows]
    height = 0.42 * len(rows) + 0.1
    with drawing(path, texts=[*names, quality], width=8.0, height=height) as figure:
        left, right = figure.subplots(
            1, 2, sharey=True, gridspec_kw={"wspace": 0.12, "left": 0, "right": 1, "bottom": 0, "top": 1}
        )
        _bars(left, [value for _, value, _ in rows], heading=quality, number="{:.2f}", color=COLORS[0])
        _bars(
            right,
            [speed for _, _, speed in rows],
            heading="tokens per second",
            number="{:,.0f}",
            color=COLORS[2],
        )
        left.set_yticks(range(len(rows)), names, color=INK, fontsize=11)
        left.invert_yaxis()
    return path


def _bars(axes: "Axes", values: Sequence[float | None], *, heading: str, number: str, color: str) -> None:
    bars = axes.barh(range(len(values)), [value or 0 for value in values], height=0.62, color=color)
    axes.bar_label(
        bars, ["-" if value is None else number.format(value) for value in values], padding=4, color=INK, fontsize=10
    )
    axes.set_title(heading, loc="left", color=INK, fontsize=11)
    axes.margins(x=0.2)
    axes.tick_params(length=0, labelbottom=False)
    axes.spines[:].set_visible(False)


def save_quality_by_length(path: Path, variants: Mapping[str, Sequence[LengthBin]]) -> Path:
    """Draw each variant's quality against source length as a line and save the picture; return its path.

    A point stands in the middle of its bin.

    Args:
        path: of the picture, ending in .png or .svg.
        variants: the bins of each variant by its name, all scored by the same metric.

    Raises:
        AttentioError: another suffix, or matplotlib is not installed.
        ValueError: there are no bins, or their metrics differ.

    Reference: Bahdanau et al. 2014, figure 2.
    """
    metrics = sorted({each.score.name for bins in variants.values() for each in bins})
    if len(metrics) != 1:
        raise ValueError(f"variants must hold bins scored by one metric, got {metrics or 'no bins'}")
    with drawing(path, texts=variants, width=6.4, height=3.6) as figure:
        axes = figure.add_axes((0, 0, 1, 1))
        for number, (name, bins) in enumerate(variants.items()):
            axes.plot(
                [(each.shortest + each.longest) / 2 for each in bins],
                [each.score.value for each in bins],
                label=name,
                color=COLORS[number % len(COLORS)],
                marker=MARKERS[number // len(COLORS) % len(MARKERS)],
                linewidth=2,
            )
        axes.set_xlabel("source length in tokens", color=INK, fontsize=11)
        axes.set_ylabel(metrics[0], color=INK, fontsize=11)
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", color="#e3e6ee")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color("#c8ccd8")
        axes.tick_params(length=0, labelcolor=INK)
        # Outside, where it hides no line.
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, labelcolor=INK)
    return path

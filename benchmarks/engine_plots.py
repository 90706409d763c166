"""Draw `results/engine_speed.json` for docs/engines.md: python benchmarks/engine_plots.py

Writes `docs/images/engines.png` (how many times faster than each peer), `docs/images/engines-by-length.png` (dense
attention beside torch's kernel) and `docs/images/engines-window.png` (time and memory of window attention per token).
"""

import json
from pathlib import Path

from matplotlib.ticker import FuncFormatter, NullLocator

from attentio.pictures.curves import COLORS
from attentio.pictures.figure import INK, drawing

HERE = Path(__file__).parent
IMAGES = HERE.parent / "docs" / "images"
PLAIN = FuncFormatter(lambda number, _: f"{number:,.10g}")


def way(result: dict) -> str:
    return "forward + backward" if result["backward"] else "forward"


def draw_ratios(results: list[dict]) -> Path:
    bars = [
        (f"{result['name']}, {way(result)}", peer, ratio)
        for result in results
        for peer, ratio in result["ratios"].items()
    ][::-1]
    peers = sorted({peer for _, peer, _ in bars})
    path = IMAGES / "engines.png"
    with drawing(path, texts=[name for name, _, _ in bars], width=7.0, height=0.27 * len(bars)) as figure:
        axes = figure.add_axes((0, 0, 1, 1))
        for number, peer in enumerate(peers):
            places = [place for place, bar in enumerate(bars) if bar[1] == peer]
            drawn = axes.barh(places, [bars[place][2] for place in places], color=COLORS[number], label=peer)
            axes.bar_label(drawn, fmt="{:.1f}", padding=3, color=INK, fontsize=9)
        axes.set_yticks(range(len(bars)), [name for name, _, _ in bars], color=INK, fontsize=9)
        axes.axvline(1.0, color=INK, linewidth=1)
        axes.set_xscale("log")
        axes.set_xlabel("times as fast as", color=INK)
        axes.xaxis.set_major_formatter(PLAIN)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1), frameon=False, labelcolor=INK)
    return path


def draw_lengths(results: list[dict]) -> Path:
    path = IMAGES / "engines-by-length.png"
    kinds = sorted({(result["name"].split(",")[0], way(result)) for result in results})
    with drawing(path, texts=[], width=6.4, height=3.4) as figure:
        axes = figure.add_axes((0, 0, 1, 1))
        for number, (kind, direction) in enumerate(kinds):
            chosen = [r for r in results if r["name"].startswith(kind) and way(r) == direction]
            lengths = [int(result["name"].split(" x ")[-2]) for result in chosen]
            ratios = [result["ratios"]["SDPA"] for result in chosen]
            axes.plot(lengths, ratios, marker="o", color=COLORS[number], label=f"{kind}, {direction}")
        axes.axhline(1.0, color=INK, linewidth=1)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(PLAIN)
        axes.set_xlabel("queries and keys", color=INK)
        axes.set_ylabel("times as fast as torch's kernel", color=INK)
        axes.set_ylim(bottom=0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, labelcolor=INK)
    return path


def draw_scaling(rows: list[dict]) -> Path:
    path = IMAGES / "engines-window.png"
    lengths = [row["length"] for row in rows]
    with drawing(path, texts=[], width=7.6, height=2.4) as figure:
        panels = figure.subplots(1, 2, gridspec_kw={"left": 0, "right": 1, "bottom": 0, "top": 1, "wspace": 0.25})
        for axes, key, label in zip(
            panels, ("us_per_token", "kb_per_token"), ("microseconds a token", "kilobytes a token"), strict=True
        ):
            axes.plot(lengths, [row[key] for row in rows], marker="o", color=COLORS[0])
            axes.set_xscale("log", base=2)
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(PLAIN)
            axes.set_xlabel("tokens", color=INK)
            axes.set_title(label, loc="left", color=INK, fontsize=11)
            axes.set_ylim(bottom=0)
            axes.tick_params(axis="x", labelrotation=30)
            axes.spines[["top", "right"]].set_visible(False)
    return path


def main() -> None:
    groups = json.loads((HERE / "results" / "engine_speed.json").read_text(encoding="utf-8"))["groups"]
    print(draw_ratios(groups["additive"]["cases"] + groups["structured"]["cases"]))
    print(draw_lengths(groups["dense"]["cases"]))
    print(draw_scaling(groups["structured"]["extras"]["window scaling"]["rows"]))


if __name__ == "__main__":
    main()

"""The figures of the site, as SVG next to this file: `python docs/figures/draw.py`.

What they show is computed by ablate's own functions or by a simulation with a fixed seed, so a figure changes only when
its code or Matplotlib does.
"""

import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import norm, t

from ablate.design.power import ASSUMED_SD
from ablate.report.sections.in_full import MARKS
from ablate.report.stats.effects import error_rate
from ablate.report.stats.verdicts import judge

HERE = Path(__file__).parent
BLUE, ORANGE, GREEN, GRAY = "#0072B2", "#E69F00", "#009E73", "#8a8a8a"
STYLE = {"svg.hashsalt": "ablate", "svg.fonttype": "path", "axes.spines.top": False, "axes.spines.right": False,
         "font.size": 10}  # fmt: skip


def designs() -> Figure:
    """Three axes of two levels: which of the eight combinations each design trains."""
    figure = Figure(figsize=(6.5, 2.3), layout="constrained")
    corners = list(product((0, 1), repeat=3))
    trained = {
        "grid: 8 of 8": corners,
        "one_at_a_time: 4 of 8": [c for c in corners if sum(c) <= 1],
        "fractional: 4 of 8": [c for c in corners if sum(c) % 2 == 0],
    }

    def place(corner: tuple[int, ...]) -> tuple[float, float]:
        return corner[0] + 0.45 * corner[2], corner[1] + 0.35 * corner[2]

    for axes, (name, cells) in zip(figure.subplots(1, 3), trained.items(), strict=True):
        for a, b in product(corners, corners):
            if sum(x != y for x, y in zip(a, b, strict=True)) == 1 and a < b:
                axes.plot(*zip(place(a), place(b), strict=True), color="#c8c8c8", linewidth=1, zorder=1)
        for corner in corners:
            full = corner in cells
            axes.scatter(
                *place(corner), s=90, zorder=2, color=BLUE if full else "white", edgecolor=BLUE if full else GRAY
            )
        axes.set_title(name, fontsize=10)
        axes.set_axis_off()
        axes.margins(0.15)
    return figure


def verdicts() -> Figure:
    """What an interval says of a difference, for delta = 0.3 points."""
    delta = 0.3
    intervals = [(0.5, 1.3), (-1.1, -0.4), (0.1, 0.9), (0.05, 0.25), (-0.2, 0.2), (-0.5, 0.8)]
    figure = Figure(figsize=(7, 2.9), layout="constrained")
    axes = figure.add_subplot()
    axes.axvspan(-delta, delta, color="black", alpha=0.07, linewidth=0)
    axes.axvline(0, color="black", linewidth=0.8)
    for row, (low, high) in enumerate(intervals):
        verdict = judge(low, high, delta)
        colour, marker = MARKS[verdict]
        axes.plot([low, high], [-row, -row], color=colour, linewidth=2.5)
        axes.plot([(low + high) / 2], [-row], color=colour, marker=marker, markersize=7)
        axes.text(1.5, -row, str(verdict), va="center")
    axes.set_xlim(-1.3, 2.4)
    axes.set_ylim(-len(intervals) + 0.2, 0.5)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xticks([-1, -delta, 0, delta, 1], ["−1", "−δ", "0", "δ", "1"])
    axes.set_xlabel("difference between two levels, percentage points")
    return figure


def wrong_sign() -> Figure:
    """The chance that the worse level has the better mean."""
    figure, axes = _single()
    gaps = np.linspace(0, 1, 101)
    for seeds, colour in ((1, ORANGE), (2, GRAY), (3, BLUE), (5, GREEN)):
        chance = 100 * norm.cdf(-gaps / (ASSUMED_SD * np.sqrt(2 / seeds)))
        axes.plot(gaps, chance, color=colour, linewidth=2, label="1 seed" if seeds == 1 else f"{seeds} seeds")
    axes.set_xlabel("true difference, percentage points")
    axes.set_ylabel("wrong sign, % of studies")
    axes.set_ylim(0)
    axes.set_xlim(0, 1)
    axes.legend(frameon=False, fontsize=9)
    return figure


def looks() -> Figure:
    """How often a difference is claimed that is not there, where seeds are added until something is claimed."""
    random = np.random.default_rng(0)
    differences = random.normal(size=(40_000, 9))
    stops = (3, 5, 7, 9)
    claims = {"each look as if it were the only one": lambda _: 0.05, "ablate's intervals": error_rate}
    figure, axes = _single()
    for (name, rate), colour in zip(claims.items(), (ORANGE, BLUE), strict=True):
        axes.plot(
            range(1, 5), 100 * _false(differences, stops, rate), color=colour, marker="o", linewidth=2, label=name
        )
    axes.axhline(5, color="black", linewidth=0.8, linestyle=":")
    axes.set_xticks(range(1, 5), [f"{number}\n({seeds} seeds)" for number, seeds in enumerate(stops, start=1)])
    axes.set_xlabel("looks at the results")
    axes.set_ylabel("false claims, % of studies")
    axes.set_ylim(0)
    axes.legend(frameon=False, fontsize=9)
    return figure


def _false(differences: np.ndarray, stops: tuple[int, ...], rate: Callable[[int], float]) -> np.ndarray:
    """The share of studies that have claimed something by each look, by a paired t-test at the look's error rate."""
    claimed = np.zeros(len(differences), dtype=bool)
    shares = []
    for look, seeds in enumerate(stops, start=1):
        some = differences[:, :seeds]
        size = np.abs(some.mean(1)) / (some.std(1, ddof=1) / np.sqrt(seeds))
        claimed |= 2 * t.sf(size, seeds - 1) < rate(look)
        shares.append(claimed.mean())
    return np.array(shares)


def luckiest() -> Figure:
    """By how much the best of several equally good combinations flatters itself on the images that chose it."""
    random = np.random.default_rng(0)
    counts = np.array([1, 2, 4, 8, 16, 32, 64, 128])
    figure, axes = _single()
    for seeds, colour in ((1, ORANGE), (3, BLUE)):
        noise = random.normal(scale=ASSUMED_SD / np.sqrt(seeds), size=(20_000, counts[-1]))
        flattery = [noise[:, :count].max(1).mean() for count in counts]
        axes.plot(
            counts, flattery, color=colour, marker="o", linewidth=2, label="1 seed" if seeds == 1 else f"{seeds} seeds"
        )
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.set_xlabel("combinations that are equally good")
    axes.set_ylabel("flattery of the best, points")
    axes.set_ylim(0)
    axes.legend(frameon=False, fontsize=9)
    return figure


def _single() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5.5, 3), layout="constrained")
    return figure, figure.add_subplot()


FIGURES = {"designs": designs, "verdicts": verdicts, "wrong_sign": wrong_sign, "looks": looks, "luckiest": luckiest}


def main(folder: Path) -> None:
    """Write every figure into a folder."""
    with mpl.rc_context(STYLE):
        for name, draw in FIGURES.items():
            draw().savefig(folder / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)

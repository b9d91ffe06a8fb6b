"""What a conclusion costs: how many runs each design needs for intervals of some width, on all seven axes.

    python -m benchmarks.designs [--replicates 100] [--json FILE]

Designs are the planner's own; studies are drawn with noise of 0.3 points between runs and 0.3 between seeds, and judged
by the report's own code. The width is that of the simultaneous interval, by which verdicts are given, for the widest
comparison of the worst axis, as the median over the studies drawn. How often those intervals cover the truth stands
beside it: a narrow one that does not would win nothing.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from scipy import stats

from ablate.design import combinations, fraction
from ablate.design.combinations import Factor
from ablate.report.stats.effects import estimate_effects
from benchmarks.simulation.rates import contrasts
from benchmarks.simulation.scenarios import Scenario

AXES = ("backbone", "optimizer", "head", "batch_size", "augment", "weight_decay", "scheduler")
SETTINGS = {"two levels each": (2,) * 7, "3 × 2 × 2 × 3 × 3 × 2 × 2 levels": (3, 2, 2, 3, 3, 2, 2)}
WANTED = 0.3  # points: the half-width on every axis
TRUTH = {("backbone", "1"): 3.0, ("optimizer", "1"): 0.3, ("augment", "1"): 0.3}  # the other axes are inert
MOST_SEEDS = 60
KINDS = {
    "one_at_a_time": "no interaction",
    "one_at_a_time, study.baseline_seeds": "no interaction",
    "fractional": "interactions may hide in the effects, as dry_run=true says",
    "fractional, study.cells": "the same, less of it",
    "grid": "every interaction of two",
}


@dataclass(frozen=True)
class Result:
    """One study of some size: runs, half-widths in points, and the shares of intervals that cover the truth."""

    kind: str
    combinations: int
    seeds: int
    runs: int
    width: float  # simultaneous
    alone: float  # of one comparison at 95 %, not adjusted for the others
    covered: float  # of the comparisons at 95 %
    all_covered: float  # of the studies, by the simultaneous intervals


def planned_cells(kind: str, sizes: tuple[int, ...], wanted: int | None) -> tuple[tuple[str, ...], ...]:
    """What the planner makes of a design, as levels in the order of the axes; the baseline first."""
    factors = [
        Factor(axis, tuple((f"{axis}={level}",) for level in range(n)), (f"{axis}=0",))
        for axis, n in zip(AXES, sizes, strict=True)
    ]
    if kind.startswith("one_at_a_time"):
        cells = combinations.one_at_a_time(factors)
    elif kind.startswith("fractional"):
        cells = combinations.fractional(factors, [], lambda _: True, wanted)
    else:
        cells = combinations.grid(factors)
    named = [dict(word.split("=") for word in cell) for cell in cells]
    return tuple(dict.fromkeys(tuple(cell[axis] for axis in AXES) for cell in named))


def study(kind: str, sizes: tuple[int, ...], seeds: int, wanted: int | None = None) -> Scenario:
    cells = planned_cells(kind, sizes, wanted)
    more = round(seeds * math.sqrt(len(cells) - 1)) if "baseline_seeds" in kind else 0
    axes = {axis: [str(level) for level in range(n)] for axis, n in zip(AXES, sizes, strict=True)}
    name = f"{kind}, {len(cells)} x {seeds}"
    kind = kind.partition(",")[0]
    return Scenario(name, seeds, TRUTH, "iid", kind, axes, baseline_seeds=more, planned=cells)


def measure(kind: str, scenario: Scenario, replicates: int) -> Result | None:
    """None where the report gives no interval, as nothing estimates the noise."""
    widths, alone, covered, whole = [], [], [], []
    for runs in scenario.draws(replicates):
        found = estimate_effects(runs, scenario.plan, p_values=False)
        if found.noise is None:
            return None
        quantile = float(stats.t.ppf(0.975, found.noise.df))
        wide, narrow, inside = [], [], []
        for effect, c in contrasts(found):
            if c.low is None or c.high is None or c.se is None or c.estimate is None:
                return None
            truth = scenario.difference(effect.axis, c.level, c.other)
            wide.append((c.high - c.low) / 2)
            narrow.append(quantile * c.se)
            covered.append(abs(c.estimate - truth) <= quantile * c.se)
            inside.append(c.low <= truth <= c.high)
        widths.append(max(wide))
        alone.append(max(narrow))
        whole.append(all(inside))
    return Result(
        kind, len(scenario.cells()), scenario.seeds, len(scenario.bare),
        statistics.median(widths), statistics.median(alone), statistics.mean(covered), statistics.mean(whole),
    )  # fmt: skip


def cheapest(kind: str, sizes: tuple[int, ...], replicates: int) -> Result | None:
    """The smallest study of a design whose intervals are narrow enough, or the narrowest there is."""
    if kind == "fractional, study.cells":
        least = fraction.effects(sizes)
        sizes_of = [least + more for more in (1, 4, 8, 12, 16, 24, 32)]
        each = [_fewest_seeds(kind, sizes, replicates, wanted) for wanted in sizes_of]
    else:
        each = [_fewest_seeds(kind, sizes, replicates, None)]
    enough = [found for found in each if found and found.width <= WANTED]
    return min(enough, key=lambda found: (found.runs, found.width)) if enough else None


def _fewest_seeds(kind: str, sizes: tuple[int, ...], replicates: int, wanted: int | None) -> Result | None:
    """More seeds never widen an interval: doubled until they are enough, then by bisection; a few draws tell where."""

    def enough(seeds: int) -> bool:
        found = measure(kind, study(kind, sizes, seeds, wanted), max(20, replicates // 10))
        return found is not None and found.width <= WANTED

    high = 1
    while high < MOST_SEEDS and not enough(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        seeds = (low + high) // 2
        low, high = (low, seeds) if enough(seeds) else (seeds, high)
    for seeds in range(max(1, high - 1), high + 3):
        found = measure(kind, study(kind, sizes, seeds, wanted), replicates)
        if found is not None and found.width <= WANTED:
            return found
    return None


def growing(kind: str) -> tuple[int, ...]:
    """The numbers of seeds of the first table."""
    return {"one_at_a_time": (3, 5, 10, 13, 20, 30), "fractional": (1, 2, 3, 5, 8), "grid": (1, 2)}[kind]


def rows(setting: str, replicates: int) -> Iterator[Result]:
    sizes = SETTINGS[setting]
    for kind in ("one_at_a_time", "fractional", "grid"):
        for seeds in growing(kind):
            found = measure(
                kind, study(kind, sizes, seeds), max(10, replicates // 10) if kind == "grid" else replicates
            )
            if found is not None:
                yield found


def line(found: Result, last: str) -> str:
    return (
        f"| {found.kind} | {found.combinations} × {found.seeds} | {found.runs} | {found.width:.2f} | "
        f"{found.alone:.3f} | {found.covered:.3f} | {found.all_covered:.3f} | {last} |"
    )


HEAD = (
    "| design | combinations × seeds | runs | half-width | of one comparison | it covers | all cover | {} |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- |"
)


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(prog="python -m benchmarks.designs", description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=100)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    started = time.perf_counter()
    results: dict[str, dict[str, list[Mapping[str, object]]]] = {}
    for setting, sizes in SETTINGS.items():
        print(f"\nSeven axes, {setting}: half-width in points\n\n{HEAD.format('it sees')}")
        found = []
        for result in rows(setting, options.replicates):
            found.append(result)
            print(line(result, KINDS[result.kind]), flush=True)
        print(f"\nRuns for a half-width of {WANTED} points on all seven axes\n\n{HEAD.format('times the fewest')}")
        needed = [best for kind in KINDS if (best := cheapest(kind, sizes, options.replicates))]
        fewest = min(result.runs for result in needed)
        for result in needed:
            smallest = ", its smallest" if result.kind == "grid" and result.seeds == 1 else ""
            print(line(result, f"{result.runs / fewest:.2f}{smallest}"), flush=True)
        results[setting] = {"growing": [asdict(r) for r in found], "needed": [asdict(r) for r in needed]}
    print(f"\n{options.replicates} studies of each kind, {time.perf_counter() - started:.0f} s.")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()

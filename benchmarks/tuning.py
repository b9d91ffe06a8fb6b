"""How often the report is right on studies whose values were tuned first, and what tuning itself leaves to chance.

    python -m benchmarks.tuning [--replicates 1000] [--counts FILE] [--json FILE]

Every combination's value is chosen on the holdout by the tool's own rule; then the combinations are compared on seeds
that were not tuned on, by the report's own code. Run-to-run noise 0.3 points, delta 0.25 points. With `--counts FILE`,
the counts are written after each 100 studies of each kind, and the same command resumes there. About an hour.
"""

import argparse
import json
from functools import cache
from pathlib import Path
from statistics import fmean

from benchmarks.simulation import tuned
from benchmarks.simulation.rates import Counts, Rates, in_parts, rates_of
from benchmarks.simulation.scenarios import AROUND, NULL, SMALL_GRID, Axes, Scenario
from benchmarks.simulation.tuned import Tuned
from benchmarks.verdicts import NOISES, SEEDS, table

# {noise that makes an answer less sure: the largest share of false claims that is meant, S = 2, 3, 5}
LIMITS = {"one axis": (0.16, 0.05, 0.05), "neighbours": (0.20, 0.15, 0.10)}
EVERY_NOISE = (*NOISES, *LIMITS)
PAIR: Axes = {"a": ["0", "1"]}
SOME = {("a", "1"): 0.3, ("b", "1"): 1.0}
DESIGNS = {"two levels": ("grid", PAIR), "grid 3 x 2 x 2": ("grid", SMALL_GRID),
           "one at a time": ("one_at_a_time", AROUND)}  # fmt: skip


def same(value: float) -> dict[str, float]:
    """The same for every level of the axis a."""
    return dict.fromkeys("0123", value)


# A peak of all levels lies on a trial, not on the same one. A step beyond the best value loses a point.
RESPONSES: dict[str, dict[str, dict[str, float]]] = {
    "flat": {},
    "peaked": {"loss": same(1.0), "best_at": {"1": -0.5, "3": -0.5}},
}
# What chance and the search leave: how many points a step loses, and the error of a holdout score.
LOSSES = (0.1, 0.3, 1.0, 3.0)
HOLDOUTS = (0.3, 1.0)
OFTEN = (1, 2, 5)  # tuning seeds, where luck is measured

# Searches that are alike or not, for the levels 0 and 1 of the axis a, of equal best values.
UNLIKE: Axes = {"a": ["0", "1"], "b": ["0", "1"], "c": ["0", "1", "2"]}
SEARCHES: dict[str, dict[str, dict[str, float]]] = {
    "4 trials each": {},
    "16 trials against 4": {"trials": {"1": 16}},
    "16 trials against 1": {"trials": {"0": 1, "1": 16}},
    "16 trials each, flat against a sharp peak": {"trials": same(16), "loss": {"0": 10.0}},
}
CHOSEN = {
    "fresh seeds": {},
    "the same seeds, by the holdout": {"fresh": False},
    "the same seeds, by the test score": {"fresh": False, "holdout": 0.0},
}
# Two levels with equal best values, of which the search comes closer to one.
CLOSER: dict[str, dict[str, dict[str, float]]] = {
    "best value a step beyond the search, a step loses 0.3": {"loss": same(0.3), "best_at": {"0": 2.5}},
    "best value a step beyond the search, a step loses 1": {"loss": same(1.0), "best_at": {"0": 2.5}},
    "16 trials against 4, best between two, a step loses 1": {
        "loss": same(1.0), "best_at": same(0.0), "trials": {"1": 16}
    },
}  # fmt: skip


@cache
def studies() -> dict[str, Tuned]:
    """Every kind of study that is drawn, by name."""
    found: dict[str, Tuned] = {}

    def add(name: str, seeds: int, truth=NULL, noise="iid", design="grid", axes=PAIR, **more) -> None:  # type: ignore[no-untyped-def]
        name = f"{name}, S={seeds}"
        more = {"tuning_seeds": seeds if more.get("fresh") is False else 1} | more
        found[name] = Tuned(Scenario(name, seeds, truth, noise, design, axes), **more)

    for kind, (design, axes) in DESIGNS.items():
        for noise in EVERY_NOISE if "c" in axes else NOISES:
            for s in SEEDS:
                for name, response in RESPONSES.items():
                    for t in tuning_seeds(design, name):
                        add(f"{kind}, {name}, {noise}, T={t}", s, NULL, noise, design, axes, tuning_seeds=t, **response)
    for noise in NOISES:
        for s in SEEDS:
            add(f"grid 3 x 2 x 2, real effects, {noise}", s, SOME, noise, axes=SMALL_GRID, **RESPONSES["peaked"])
    for name, search in SEARCHES.items():
        for how, choosing in CHOSEN.items():
            for noise in EVERY_NOISE:
                for s in SEEDS if noise == "iid" else (3,):
                    add(f"{name}, {how}, {noise}", s, NULL, noise, axes=UNLIKE, **search, **choosing)
    for loss in LOSSES:
        for holdout in HOLDOUTS:
            for t in OFTEN:
                for s in (3, 5):
                    add(luck(loss, holdout, t), s, tuning_seeds=t, holdout=holdout, loss=same(loss),
                        best_at={"1": -0.5})  # fmt: skip
    for name, search in CLOSER.items():
        for s in (3, 5):
            add(name, s, **search)
    return found


def tuning_seeds(design: str, response: str) -> tuple[int, ...]:
    """Where all trials are equally good, it does not matter how they are chosen."""
    return (1, 2) if (design, response) == ("grid", "peaked") else (1,)


def luck(loss: float, holdout: float, tuning_seeds: int) -> str:
    return f"equal levels, a step loses {loss:g}, holdout {holdout:g}, T={tuning_seeds}"


def everything(replicates: int, seed: int) -> dict[str, Counts]:
    return {name: tuned.count(study, replicates, seed) for name, study in studies().items()}


def targets(found: dict[str, Rates]) -> list[list[str]]:
    """The rows of the table: measure, target, over all kinds of study together, the kinds' range, whether it is met by
    all together. All are about the chosen values."""
    rows = []

    def row(measure: str, names: list[str], key: str, high: float, low: float = 0.0) -> None:
        values = [found[name][f"chosen: {key}"] for name in names]
        target = f"{low:.3f} – {high:.3f}" if low else f"≤ {high:.2f}"
        mean = fmean(values)
        kinds = f"{min(values):.3f} – {max(values):.3f} ({len(values)})" if len(values) > 1 else ""
        rows.append([measure, target, f"{mean:.3f}", kinds, "" if low <= mean <= high else "missed"])

    for kind, (_, axes) in DESIGNS.items():
        names = [name for name in found if name.startswith(kind) and "real effects" not in name]
        usual = [name for name in names if any(f", {noise}, " in name for noise in NOISES)]
        row(f"coverage of each contrast, {kind}", usual, "interval.covered", 0.965, 0.935)
        row(f"any false statement, {kind}", usual, "study.any false statement", 0.06)
        for noise, limits in LIMITS.items() if "c" in axes else ():
            for s, limit in zip(SEEDS, limits, strict=True):
                of_seeds = [name for name in names if f", {noise}, " in name and name.endswith(f"S={s}")]
                row(f"any false claim, {kind}, {noise}, S = {s}", of_seeds, "study.any false claim", limit)
    real = [name for name in found if "real effects" in name]
    row("any false statement, some axes matter, grid 3 x 2 x 2", real, "study.any false statement", 0.06)
    for search in SEARCHES:
        names = [name for name in found if name.startswith(f"{search}, fresh") and "neighbours" not in name]
        row(f"any false claim, {search}, fresh seeds", names, "study.any false claim", 0.06)
    closer = [name for name in found if name.startswith(tuple(CLOSER))]
    row("any false statement, the search comes closer to one level's best", closer, "study.any false statement", 0.06)
    return rows


def text(found: dict[str, Rates]) -> str:
    """The tables as Markdown."""

    def each(key: str, *names: str) -> str:
        return " / ".join(f"{found[name][key]:.2f}" for name in names if name in found) or "–"

    about = [
        [f"{kind}, {noise}",
         *(each(f"{of}: study.any false statement", *(f"{kind}, peaked, {noise}, T={t}, S={s}" for s in SEEDS))
           for of, t in (("chosen", 1), ("procedure", 1), ("procedure", 2), ("best", 1)))]
        for kind in DESIGNS for noise in NOISES
    ]  # fmt: skip
    control = [
        [search, how, f"{found[f'{search}, {how}, iid, S=3']['tuned.last ahead']:+.2f}",
         each("chosen: study.any false claim", *(f"{search}, {how}, iid, S={s}" for s in SEEDS)),
         *(each("chosen: study.any false claim", f"{search}, {how}, {noise}, S=3") for noise in EVERY_NOISE[1:])]
        for search in SEARCHES for how in CHOSEN
    ]  # fmt: skip
    chance = [
        [f"{loss:g}", f"{holdout:g}",
         " / ".join(f"{found[f'{luck(loss, holdout, t)}, S=3']['tuned.luck'] ** 0.5:.2f}" for t in OFTEN),
         *(each(f"procedure: study.{key}", *(f"{luck(loss, holdout, t)}, S={s}" for t in OFTEN))
           for key in ("any false claim", "equal said to matter") for s in (3, 5))]
        for loss in LOSSES for holdout in HOLDOUTS
    ]  # fmt: skip
    closer = [
        [name, each("tuned.at an edge", *(of := [f"{name}, S={s}" for s in (3, 5)])),
         each("tuned.last claimed", *of), *(each(f"{about}: study.any false statement", *of) for about in tuned.ABOUT)]
        for name in CLOSER
    ]  # fmt: skip
    seeds = " / ".join(map(str, SEEDS))
    noises = [f"{noise}, S = 3" for noise in EVERY_NOISE[1:]]
    return "\n\n".join(
        [
            table(["about the chosen values", "target", "ours", "kinds of study", ""], targets(found)),
            table([f"any false statement, equal levels, a peak, S = {seeds}", "about the chosen values",
                   "about the procedure", "the same, T = 2", "about the best values"], about),
            table(["search", "compared on", "level 1 flattered by, points", f"any false claim, iid, S = {seeds}",
                   *noises], control),
            table(["a step loses", "holdout's error", f"luck of tuning, T = {' / '.join(map(str, OFTEN))}",
                   "any claim, S = 3", "any claim, S = 5", "said to matter, S = 3", "said to matter, S = 5"], chance),
            table(["equal best values, S = 3 / 5", "chosen at an end of the search", "level 1 said to be better",
                   "any false statement about the chosen values", "the procedure", "the best values"], closer),
        ]
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tuning", description=__doc__)
    parser.add_argument("--replicates", type=int, default=1000, help="studies of each kind")
    parser.add_argument("--counts", type=Path, help="keep the counts in this file, and resume from it")
    parser.add_argument("--json", type=Path, help="write all rates to this file too")
    arguments = parser.parse_args()
    found = {name: rates_of(n) for name, n in in_parts(everything, arguments.replicates, arguments.counts).items()}
    print(f"{arguments.replicates} studies of each kind.\n\n{text(found)}")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()

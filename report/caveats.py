"""Where a comparison is not between like and like: caveats for the sentences about an axis, or about all."""

import re
from collections import defaultdict
from itertools import combinations
from typing import Any

import pandas as pd

from ablate.report.page import numbers
from ablate.report.stats.effects import error_rate
from ablate.report.study import tables, tried
from ablate.report.study.gather import Origin, StudyData

_END = {"DIVERGED": "diverged", "OOM": "ran out of memory", "FAILED": "failed"}
HASH = re.compile("[0-9a-f]{32,}")
MANY = 4  # differences of the environment, then how many more
FEW = 2  # up to so many combinations are named
BUDGET = ("batch_size", "batch_size.size", "trainer.epochs", "trainer.steps", "data.holdout")  # axes that are about it
# Pixels, of the pretrained weights in timm 1.0 that have a level of their own; of others nothing is said.
NATIVE = {
    **{f"tf_efficientnet_b{n}": size for n, size in enumerate((224, 240, 260, 300, 380, 456, 528, 600))},
    **{f"tf_efficientnet_lite{n}": size for n, size in enumerate((224, 240, 260, 300, 380))},
    **dict.fromkeys(("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"), 224),
    **{"resnet10t": 176, "wide_resnet50_2": 224, "wide_resnet101_2": 224},
}
Caveats = dict[str, list[str]]  # {axis: sentences about its comparison}; those about the whole study under ""
Settings = list[tuple[dict[str, str], dict[str, str]]]  # of each combination: its levels, its every setting
UNEVEN = 0.02  # share of an epoch's images that levels may see more or fewer of without a word
UNTUNED = (
    "each optimizer has a learning rate of its own that was not tuned here (tune.optimizer.lr=x0.1,x0.3,x1,x3 does it)"
)
EPOCHS_TO_JUDGE = 20  # with fewer, the last epoch is more than the last twentieth


def caveats_of(study: StudyData) -> Caveats:
    """Every caveat of a study. Plain text, to be escaped."""
    found: dict[str, list[str]] = defaultdict(list)
    cells = _settings(study)
    for one in study.comparisons:
        if study.origin is not None:
            found[one.name] += [*_along(study.origin, one.axis), *_unfinished(study, one.name, list(one.levels))]
            continue
        found[one.name] += _of_settings([cell for cell in cells if one.holds(cell[0])], one.axis, study)
        for of_runs in (_unfinished, _micro_batches, _not_converged):
            found[one.name] += of_runs(study, one.name, list(one.levels))
    found[""] = _of_all(study, cells)
    return {axis: sentences for axis, sentences in found.items() if sentences}


def _of_settings(cells: Settings, axis: str, study: StudyData) -> list[str]:
    """What the settings of some combinations say of an axis."""
    found = []
    tuned = study.plan.tuning.space if study.plan.tuning is not None else {}
    if axis in ("batch_size", "batch_size.size"):
        found += _batch_size(study, cells, axis, "optimizer.lr" in tuned)
    rates = any("optimizer.lr" in swept.split("+") for swept in study.axes)
    if axis in ("optimizer", "optimizer.name") and not rates and "optimizer.lr" not in tuned:
        found.append(UNTUNED)
    if axis in ("backbone", "backbone.name", "backbone.tag"):
        found += _weights(cells, axis)
    if axis not in BUDGET:
        found += _budget(cells, axis)
    found += _bundles(cells, axis)
    found += _left_over(study, cells, axis)
    if rates and "optimizer.lr" not in axis.split("+"):
        found += _tuning(cells, axis)
    return found + _trials(study, axis)


def _along(origin: Origin, axis: str) -> list[str]:
    """Settings that differ with the levels of an axis, in runs that others trained."""
    others = origin.along.get(axis, [])
    more = f" and {len(others) - MANY} more" if len(others) > MANY else ""
    return [f"the levels differ in {', '.join(others[:MANY])}{more} too"] if others else []


def _settings(study: StudyData) -> Settings:
    plan = study.plan
    return [(cell.levels, plan.settings_of(cell)) for cell in plan.cells]


def _by_level(cells: Settings, axis: str, *names: str) -> dict[str, set[tuple[str, ...]]]:
    """{level: the values that some settings take there}; combinations that do not say are left out."""
    found: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for levels, settings in cells:
        if all(name in settings for name in names):
            found[levels[axis]].add(tuple(settings[name] for name in names))
    return found


def _batch_size(study: StudyData, cells: Settings, axis: str, tuned: bool) -> list[str]:
    """What else differs between batch sizes: the learning rate that suits them, and the updates or the images."""
    rates: dict[str, set[str]] = defaultdict(set)
    for values in _by_level(cells, axis, "optimizer.name", "optimizer.lr").values():
        for optimizer, rate in values:
            rates[optimizer].add(rate)
    scaled = any(settings.get("optimizer.lr_base_size", "null") != "null" for _, settings in cells)
    same = rates and not scaled and not tuned and all(len(of_one) == 1 for of_one in rates.values())
    budget = _updates_and_images(study, cells, axis)
    return [f"the learning rate is the same at every batch size, and {budget}" if same else budget]


def _updates_and_images(study: StudyData, cells: Settings, axis: str) -> str:
    """Which of the two budgets batch sizes have in common, by what their runs have made where the records say so."""
    updates, images = (_made(study, axis, name) for name in ("updates", "images_seen"))
    if updates and len(set(updates.values())) == 1:
        made = f"the same {next(iter(updates.values()))} updates"
        return f"every batch size makes {made}, with which larger batches see more images ({_listed(axis, images)})"
    if _in_steps(cells):
        return "every batch size makes the same updates, with which larger batches see more images"
    if not updates:
        return "larger batches make fewer updates"
    alike = max(images.values()) - min(images.values()) <= UNEVEN * max(images.values())
    equal = "from equally many images " if alike else ""
    return f"larger batches make fewer updates {equal}({_listed(axis, updates)})"


def _made(study: StudyData, axis: str, name: str) -> dict[str, int]:
    """{level: what its finished runs have made of something}; {} unless that is one number at every level."""
    finished = study.finished
    if name not in finished:
        return {}
    values = {level: set(finished[name][finished[axis] == level]) for level in study.axes[axis]}
    if any(len(of_level) != 1 or pd.isna(next(iter(of_level))) for of_level in values.values()):
        return {}
    return {level: int(next(iter(of_level))) for level, of_level in values.items()}


def _listed(axis: str, numbers_of: dict[str, int]) -> str:
    return ", ".join(f"{tables.level_name(axis, level)} {number}" for level, number in numbers_of.items())


def _in_steps(cells: Settings) -> bool:
    """Whether all combinations have one budget in updates."""
    return len(given := {settings.get("trainer.steps", "null") for _, settings in cells}) == 1 and given != {"null"}


def _weights(cells: Settings, axis: str) -> list[str]:
    pretrained = _by_level(cells, axis, "backbone.pretrained")
    kinds = {kind for values in pretrained.values() for (kind,) in values}
    if len(kinds) > 1 and any(values != next(iter(pretrained.values())) for values in pretrained.values()):
        from_weights = [level for level, values in pretrained.items() if ("true",) in values]
        return [f"only {_names(axis, from_weights)} {_start(from_weights)} from pretrained weights"]
    return _kinds_of_weights(cells, axis) if kinds == {"true"} else []


def _kinds_of_weights(cells: Settings, axis: str) -> list[str]:
    """In what the pretrained weights of an axis's levels differ, besides the network."""
    sentences = []
    tags = _values(cells, axis, "backbone.tag")
    if len(tags) > 1:
        sentences.append(f"the levels' weights differ in recipe or corpus ({', '.join(sorted(tags))})")
    elif tags == {"null"} and len(_values(cells, axis, "backbone.name")) > 1:
        sentences.append("the levels' weights are timm's defaults, whose recipes and corpora may differ")
    if len(_values(cells, axis, "backbone.weights")) > 1:
        sentences.append("the levels start from different files of weights")
    native = {NATIVE[name] for name in _values(cells, axis, "backbone.name") if name in NATIVE}
    if len(native) > 1:
        sizes = ", ".join(str(size) for size in sorted(native))
        sentences.append(f"the levels' weights were made for different resolutions ({sizes} pixels)")
    return sentences


def _values(cells: Settings, axis: str, name: str) -> set[str]:
    return {value for values in _by_level(cells, axis, name).values() for (value,) in values}


def _tuning(cells: Settings, axis: str) -> list[str]:
    """Levels for which more learning rates were tried than for others: the best of more tries is better by chance."""
    tries = {level: len(rates) for level, rates in _by_level(cells, axis, "optimizer.lr").items()}
    if len(set(tries.values())) < 2:
        return []
    listed = ", ".join(f"{tables.level_name(axis, level)} {count}" for level, count in tries.items())
    return [f"unequal tuning: learning rates tried per level are {listed}"]


def _trials(study: StudyData, axis: str) -> list[str]:
    """Levels whose combinations had more trials than those of others: the best of more trials is better by chance."""
    counts = tried.trials_by_level(study, axis)
    if len(set(counts.values())) < 2:
        return []
    listed = ", ".join(f"{tables.level_name(axis, level)} {count:.3g}" for level, count in counts.items())
    return [f"unequal tuning: trials per combination are {listed}"]


def _of_the_search(study: StudyData) -> list[str]:
    """Choices at the edge of the search, and combinations without any."""
    sentences = []
    found = tried.searched(study)
    for key in study.plan.tuning.space if study.plan.tuning is not None else ():
        at_edge = [one for one in found if key in one.edges]
        if not at_edge:
            continue
        where = f"for {'; '.join(one.name for one in at_edge)}"
        if len(at_edge) > FEW:
            share = (
                "every combination" if len(at_edge) == len(found) else f"{len(at_edge)} of {len(found)} combinations"
            )
            where = f"in {share}"
        values = " or ".join(dict.fromkeys(one.edges[key] for one in at_edge))
        sentences.append(f"the best {tables.axis_name(key)} lies at the edge of the search {where}: try {values}")
    if failed := [one.name for one in found if one.failed]:
        sentences.append(f"left out, as no trial has a result: {_few(failed)}")
    return sentences


def _few(names: list[str]) -> str:
    return "; ".join(names[:MANY]) + (f" and {len(names) - MANY} more" if len(names) > MANY else "")


def _budget(cells: Settings, axis: str) -> list[str]:
    """Levels that bring another budget, or images at once, along with what they are named for."""
    sentences = []
    kinds = (("trainer.epochs", "epochs", "updates"), ("trainer.steps", "steps", "updates"),
             ("batch_size.size", "batch size", "images seen" if _in_steps(cells) else "updates"),
             ("data.holdout", "share held out", "images per epoch" if _in_steps(cells) else "updates"))  # fmt: skip
    for name, what, unequal in kinds:
        by_level = _by_level(cells, axis, name)
        if all(len(values) == 1 for values in by_level.values()) and len(_values(cells, axis, name)) > 1:
            pairs = [(tables.level_name(axis, level), value) for level, ((value,),) in by_level.items()]
            listed = ", ".join(f"{level} {value}" for level, value in pairs)
            sentences.append(f"the levels differ in {what} too ({listed}), and so in {unequal}")
    return sentences


def _bundles(cells: Settings, axis: str) -> list[str]:
    """Levels that differ from each other in more than one setting, so that nothing says which of these it was.

    What a backbone or an optimizer brings along is said elsewhere.
    """
    if "." in axis or axis in ("backbone", "optimizer", "batch_size", "data", "trainer"):
        return []
    settings: dict[str, dict[str, str]] = {}
    for levels, of_cell in cells:
        settings.setdefault(levels[axis], {k: v for k, v in of_cell.items() if k.startswith(f"{axis}.")})
    found = []
    for a, b in combinations(settings, 2):
        both = settings[a].keys() & settings[b].keys()
        # null is what a level does not read, as the activation of a head without hidden layers.
        apart = [key for key in both if settings[a][key] != settings[b][key]
                 and "null" not in (settings[a][key], settings[b][key])]  # fmt: skip
        if len(apart) > 1:
            found.append((a, b, sorted(key.partition(".")[2] for key in apart)))
    if not found:
        return []
    a, b, real = found[0]
    more = f", as do {numbers.count(len(found) - 1, 'more pair')}" if len(found) > 1 else ""
    what = f"{', '.join(real[:-1])} and {real[-1]}"
    return [f"{_names(axis, [a, b])} differ in {what}{more}, so that nothing says which of these it is"]


def _left_over(study: StudyData, cells: Settings, axis: str) -> list[str]:
    """Levels at which whole batches leave more of the images of an epoch to another one."""
    if _in_steps(cells):
        return []
    counts = set(study.finished["epoch_images"].dropna()) if "epoch_images" in study.finished else set()
    if len(counts) != 1:
        return []
    images = int(counts.pop())
    seen = {}
    for level, values in _by_level(cells, axis, "batch_size.size").items():
        if len(values) == 1:
            size = int(next(iter(values))[0])
            seen[level] = images // size * size
    if len(seen) < 2 or max(seen.values()) - min(seen.values()) < UNEVEN * images:
        return []
    *most, last = [f"{tables.level_name(axis, level)} {count}" for level, count in seen.items()]
    return [f"an epoch uses full batches only: {', '.join(most)} and {last} of its {images} images"]


def _start(levels: list[str]) -> str:
    return "starts" if len(levels) == 1 else "start"


def _unfinished(study: StudyData, axis: str, levels: list[str]) -> list[str]:
    runs = study.runs
    parts = []
    for level in levels:
        here = runs[runs[axis] == level]
        for state in ("DIVERGED", "OOM", "FAILED"):
            gone = int((here["state"] == state).sum())
            if gone:
                parts.append(
                    f"{gone} of {numbers.count(len(here), 'run')} at {tables.level_name(axis, level)} {_END[state]}"
                )
    return ["; ".join(parts), *_survivors(runs, axis, levels)] if parts else []


def _survivors(runs: pd.DataFrame, axis: str, levels: list[str]) -> list[str]:
    """Levels of which more runs diverged than of others: those that are left are the better ones."""
    gone = {level: float((runs["state"][runs[axis] == level] == "DIVERGED").mean()) for level in levels}
    most = [level for level, share in gone.items() if share > min(gone.values())]
    if not most:
        return []
    return [f"the runs that did not diverge flatter {_names(axis, most)}, where others did"]


def _micro_batches(study: StudyData, axis: str, levels: list[str]) -> list[str]:
    """Levels where BatchNorm saw micro-batches, unless it did so everywhere alike."""
    finished = study.finished
    seen = finished["deviations"].str.contains("micro-batches", regex=False)
    if not seen.any() or seen.all():
        return []
    shares = {level: float(seen[finished[axis] == level].mean()) for level in levels if (finished[axis] == level).any()}
    some = [level for level, share in shares.items() if share > 0]
    if len(set(shares.values())) == 1:
        return []
    return [f"BatchNorm saw micro-batches in some runs at {_names(axis, some)}"]


def _not_converged(study: StudyData, axis: str, levels: list[str]) -> list[str]:
    """Levels whose best epoch by the holdout lies in the last twentieth, in half their runs or more."""
    finished, late = _late(study)
    shares = {level: float(late[finished[axis] == level].mean()) for level in levels if (finished[axis] == level).any()}
    some = [level for level, share in shares.items() if share >= 0.5]
    # Where all levels are still getting better, none is favoured; then it is said of the study as a whole.
    if not some or len(some) == len(shares):
        return []
    return [f"{_names(axis, some)} had not converged in half of the runs or more"]


def _late(study: StudyData) -> tuple[pd.DataFrame, pd.Series]:
    """The finished runs that are long enough to judge, and which of them were best in their last twentieth."""
    finished = study.finished
    if "best_holdout_epoch" not in finished:
        return finished[:0], pd.Series([], dtype=bool)
    finished = finished[finished["epochs_done"] >= EPOCHS_TO_JUDGE]
    return finished, finished["best_holdout_epoch"] > 0.95 * finished["epochs_done"]


def _of_all(study: StudyData, cells: Settings) -> list[str]:
    sentences = [*study.data_warnings, *_of_the_search(study), *_environments(study)]
    late = _late(study)[1]
    if len(late) and late.mean() >= 0.5:
        sentences.append("half of the runs or more were best in their last epochs and had not converged")
    later = [a for a in study.plan.of_the_comparison[1:] if a.after_a_report and a.runs_added]
    if later:
        added, looks = sum(a.runs_added for a in later), study.plan.looks
        wider = f" (intervals at {100 * (1 - error_rate(looks)):.4g} % for it)" if looks > 1 else ""
        were = "was" if added == 1 else "were"
        sentences.append(f"{numbers.count(added, 'run')} {were} added after looking at the results{wider}")
    for amendment in study.plan.amendments:
        if amendment.removed:
            were = "run was" if len(amendment.removed) == 1 else "runs were"
            when = " after looking at the results" if amendment.after_a_report else ""
            sentences.append(
                f"{len(amendment.removed)} {were} removed{when} ({amendment.what}, on {amendment.at[:10]}: "
                f"{amendment.reason})"
            )
        sentences += [
            f"{name} was changed after looking at the results (before: {value})"
            for name, value in amendment.changes.items()
            if amendment.after_a_report
        ]
    of_imagenet = [settings for _, settings in cells if settings.get("data.name") == "tiny_imagenet"]
    if any(settings.get("backbone.pretrained") == "true" for settings in of_imagenet):
        sentences.append("the pretrained weights have seen ImageNet, from which Tiny ImageNet's images are taken")
    return sentences


def _environments(study: StudyData) -> list[str]:
    """In what the runs' machines, versions and numerics differ."""
    if len(study.environments) < 2:
        return []
    flat = pd.json_normalize(study.environments).drop(columns="code.diff_sha256", errors="ignore")
    flat = flat.astype(object).fillna("none").astype(str)
    several = {
        str(name).removeprefix("packages."): [_short(value) for value in flat[name].unique()]
        for name in flat
        if flat[name].nunique() > 1
    }
    listed = [f"{name} ({', '.join(values)})" for name, values in several.items()][:MANY]
    more = f" and {len(several) - MANY} more" if len(several) > MANY else ""
    return [f"the runs differ in {', '.join(listed)}{more}"] if listed else []


def _short(value: str) -> str:
    """A hash by its first digits."""
    return value[:10] if HASH.fullmatch(value) else value


def _names(axis: str, levels: list[str]) -> str:
    names: list[Any] = [tables.level_name(axis, level) for level in levels]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

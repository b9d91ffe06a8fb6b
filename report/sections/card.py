"""The section StudyData: what was planned, held constant and trained on. Also the page's title and warnings."""

import pandas as pd

from ablate.report.analysis import Analysis
from ablate.report.page import numbers
from ablate.report.page.blocks import Note, Section, Strong, Table
from ablate.report.study import tried
from ablate.report.study.gather import StudyData


def title(study: StudyData) -> str:
    """The page's title."""
    return f"Study {study.plan.name}"


def notes(study: StudyData) -> tuple[Note, ...]:
    """What is mixed or missing, which every number below has to be read with."""
    found = []
    if study.mixed:
        found.append(
            Note(
                (
                    Strong("Mixed experiments"),
                    ": some combinations hold runs of different experiments, which cannot be averaged. These runs are "
                    f"left out of every number below. {'. '.join(study.mixed)}.",
                )
            )
        )
    return tuple(found)


def section(analysis: Analysis) -> Section:
    """What was planned, held constant and trained on."""
    study, plan, metric = analysis.study, analysis.study.plan, analysis.metric
    rows = [
        ("runs", f"{len(study.finished)} of {len(study.runs)} finished"),
        *([("reused", _reused(study))] if study.reused else []),
        ("seeds", ", ".join(str(seed) for seed in plan.seeds)),
        ("design", plan.design.replace("_", " ")),
        *([("baseline", _baseline(study))] if study.around_the_baseline else []),
        *((f"axis {axis}", ", ".join(levels)) for axis, levels in study.axes.items()),
        *([("tuned", tried.in_words(study))] if plan.tuning is not None else []),
        ("metric", metric.label),
        ("smallest difference worth caring about", f"{analysis.effects.delta:g} {metric.unit} (study.delta)"),
        ("held constant", ", ".join(f"{axis}={level}" for axis, level in constants(study).items())),
        ("only the axes differ", _only_the_axes(study)),
        ("epochs", ", ".join(str(epochs) for epochs in study.epochs_planned)),
        ("data", "; ".join(study.data)),
        ("machine", _machines(study)),
        *([("differs between runs", _differences(study))] if len(study.environments) > 1 else []),
    ]
    return Section("Study", (Table("What was planned and trained", ("", ""), tuple(rows)),))


def _reused(study: StudyData) -> str:
    return ", ".join(f"{numbers.count(count, 'run')} of {folder}" for folder, count in study.reused.items())


def _only_the_axes(study: StudyData) -> str:
    """What is hashed and differs between runs though no axis decides it; from the runs, not from the plan."""
    if not study.confounded:
        return "yes"
    return f"no: {', '.join(study.confounded)} {'differs' if len(study.confounded) == 1 else 'differ'} too"


def _baseline(study: StudyData) -> str:
    levels = study.plan.baseline
    return ", ".join(f"{axis}={levels[axis]}" for axis in study.axes if axis in levels)


def constants(study: StudyData) -> dict[str, str]:
    """{axis that was not varied: its level}."""
    levels = study.plan.cells[0].levels
    return {axis: level for axis, level in levels.items() if axis not in study.axes}


def _differences(study: StudyData) -> str:
    """Which entries of the environments differ, with the values of each."""
    flat = pd.json_normalize(study.environments).astype(object).fillna("none").astype(str)
    return "; ".join(f"{name}: {', '.join(flat[name].unique())}" for name in flat if flat[name].nunique() > 1)


def _machines(study: StudyData) -> str:
    texts = []
    for e in study.environments:
        packages = e.get("packages", {})
        texts.append(
            f"{e.get('device_name')} ({e.get('device')}, threads: {e.get('threads')}), "
            f"torch {packages.get('torch')}, timm {packages.get('timm')}"
        )
    return "; ".join(dict.fromkeys(texts)) or "unknown"

"""Studies and runs as objects, for notebooks and scripts; `import ablate` brings all of it."""

import dataclasses
import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from hydra import compose, initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import HydraContext
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from ablate.commands import arguments, hydra_app
from ablate.commands.sweep import missing, preview_of, sweep
from ablate.config.compose import config_folder, explain
from ablate.config.words import for_hydra
from ablate.plan import idle, study_name
from ablate.plan.planned_run import Planned, every_run, unique
from ablate.records import study_plan
from ablate.records.record import Record
from ablate.records.run_folder import RunFolder
from ablate.report import frames, write
from ablate.report.analysis import Analysis, analyse
from ablate.report.page import html
from ablate.report.sections import summary
from ablate.report.study import gather
from hydra_plugins.ablate_study import StudySweeper

if TYPE_CHECKING:
    from ablate.run.reproduction import Reproduction
    from ablate.train.trained import TrainedModel

Level = str | float | bool | None  # an int is a float to the type checker
BARE = re.compile(r"[\w./:%+@-]+")  # what Hydra reads as one word without quotes


def create_study(
    axes: Mapping[str, Level | Sequence[Level]] | Sequence[str],
    *overrides: str,
    seeds: int | Sequence[int] | None = None,
    name: str | None = None,
    root: str | Path | None = None,
) -> "PlannedStudy":
    """Plan a study; nothing is trained and nothing is written.

    `axes` maps an axis or a setting to its level or levels, as in {"backbone": ["resnet18", "resnet34"],
    "trainer.epochs": 10}; or it is an override of the command line, as in "backbone=resnet18,resnet34", or a list of
    them. More `overrides` may follow in either case. `seeds` is a number of seeds, or the seeds themselves. The study
    is the folder ROOT/NAME, by default in outputs and named after its axes; a study that is there already is added to.

    Raises ValueError, in one sentence, for whatever the command line would refuse.
    """
    if isinstance(axes, Mapping):
        words = [_override(axis, levels) for axis, levels in axes.items()]
    else:
        words = [axes] if isinstance(axes, str) else list(axes)
    words += overrides
    if seeds is not None:
        words.append(f"seeds={seeds}" if isinstance(seeds, int) else f"seed={','.join(map(str, seeds))}")
    words += [_override(key, str(value)) for key, value in (("study.name", name), ("study.root", root)) if value]
    return PlannedStudy(words)


def load_study(folder: str | Path) -> "Study":
    """Read a study from its folder, finished or not. Raises ValueError when the folder holds none."""
    return Study(folder)


def load_run(folder: str | Path) -> "Run":
    """Read a run from its folder. Raises ValueError when there is no record, or one that cannot be read."""
    return Run(folder)


class PlannedStudy:
    """A study as it is planned: the runs that it needs, what they can estimate, and what they are expected to cost."""

    def __init__(self, words: Sequence[str]) -> None:
        words = for_hydra(words)
        self.overrides = tuple(words)
        with _composed(words) as (loader, master):
            context = HydraContext(config_loader=loader, callbacks=Callbacks())
            sweeper: Any = Plugins.instance().instantiate_sweeper(
                hydra_context=context, task_function=hydra_app.app, config=master
            )
            self._sweeper: StudySweeper = sweeper
            self._planned: Planned = self._sweeper.plan(
                [word for word in words if not word.startswith(("hydra.", "hydra/"))]
            )
        self._planned.command = self.command

    @property
    def folder(self) -> Path:
        """Where the study is written."""
        return self._planned.runs[0].study

    @property
    def command(self) -> str:
        """The command line that trains the same study."""
        return shlex.join(["python", "-m", "ablate", *self.overrides])

    @property
    def plan(self) -> pd.DataFrame:
        """One row per combination and seed: a column per axis, then seed, state (a record's, or "not trained"),
        signature and folder. Combinations that are the same experiment have one signature; one whose tuned values are
        yet to be chosen has none. Tuning runs are not listed."""
        rows = []
        for run, levels in zip(self._planned.runs, self._planned.levels, strict=True):
            record = None if run.is_open else run.record()
            rows.append(
                {axis: levels[axis] for axis in self._planned.axes}
                | {"seed": run.config.seed, "state": str(record.state) if record is not None else gather.MISSING}
                | {"signature": run.signature, "folder": str(run.folder().path)}
                | ({"signature": "", "folder": ""} if run.is_open else {})
            )
        return pd.DataFrame(rows)

    def preview(self) -> str:
        """What the command prints with `dry_run=true`: the runs, what they can estimate, the expected cost."""
        lines = preview_of(self._planned, missing(self._planned), measures=False)
        return "\n".join([*idle.sentences(self._planned), *lines])

    def run(self) -> "Study":
        """Train every run that is not finished and return the study. Prints what the command line prints.

        A run that fails does not raise: its state says so. Raises ValueError before anything is trained when weights
        cannot be had, and KeyboardInterrupt when it is interrupted, after all runs have saved their states; calling it
        again resumes them.
        """
        sweep(self._planned, self._sweeper.launch)
        if (search := self._planned.search) is not None:
            self._planned = dataclasses.replace(self._planned, runs=search.compared())
        self._planned = study_name.settled(self._planned)  # another command may have taken its name before it began
        return Study(self.folder)

    def __repr__(self) -> str:
        total, left = len(unique(every_run(self._planned))), len(missing(self._planned))
        return f"<PlannedStudy {self.folder}: {total} runs, {left} to train>"

    def _repr_html_(self) -> str:
        return f"<pre>{escape(self.preview())}</pre>"


class Study:
    """A study as it lies in its folder. It is read once, when it is first asked for something; load it again to see
    what has been trained since."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser()
        self.name = study_plan.read(self.folder).name

    @cached_property
    def _analysis(self) -> Analysis:
        return analyse(gather.load(self.folder))

    @cached_property
    def _frames(self) -> frames.Frames:
        return frames.of(self._analysis.study, self._analysis.effects)

    @property
    def runs(self) -> pd.DataFrame:
        """One row per planned run: its axes, cell, seed, state, folder and final metrics; see report.frames.Frames."""
        return self._frames.runs

    @property
    def epochs(self) -> pd.DataFrame:
        """One row per run and epoch: losses, accuracies, learning rate and speed; see report.frames.Frames."""
        return self._frames.epochs

    @property
    def effects(self) -> pd.DataFrame:
        """One row per contrast of two levels: estimate, interval and verdict; see report.frames.Frames."""
        return self._frames.effects

    @property
    def best(self) -> "Run":
        """The finished run with the best final holdout accuracy, whose weights trainer.keep_weights=best keeps.

        Raises ValueError when no run has finished.
        """
        finished = self._analysis.study.finished
        if finished.empty:
            raise ValueError(f"no run of {self.folder} has finished")
        top = finished[finished["holdout_accuracy"] == finished["holdout_accuracy"].max()]
        runs = [Run(self.folder / folder) for folder in top["folder"]]
        return next((run for run in runs if RunFolder(run.folder).weights.exists()), runs[0])

    def report(self) -> Path:
        """Write the report and return the path of report.md; report.html is next to it."""
        return write.write(self._analysis)

    def __repr__(self) -> str:
        states = ", ".join(f"{n} {state}" for state, n in self.runs["state"].value_counts(sort=False).items())
        return f"<Study {self.folder}: {states}>"

    def _repr_html_(self) -> str:
        shown = summary.section(self._analysis)
        return html.fragment(dataclasses.replace(shown, title=f"{self.name}: answers"))


class Run:
    """One run as it lies in its folder. `record` has its state, levels, seed, metrics and everything else."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser()
        self.record: Record = RunFolder(self.folder).read()

    def reproduce(
        self, *, epochs: int | None = None, device: str | None = None, threads: int | None = None
    ) -> "Reproduction":
        """Train the run again, its first `epochs` or all of them, and compare it with the record bit for bit.

        Prints what differs. The result's `identical` says whether every weight and metric is the same. Nothing is
        written. Raises ValueError when the run is not DONE or its data cannot be had.
        """
        from ablate.run.reproduction import Conditions, reproduce  # torch

        return reproduce(self.folder, Conditions(epochs, device, threads), print)

    def model(self, device: str = "cpu") -> "TrainedModel":
        """The network with its final weights, its preprocessing and its class names.

        Raises ValueError when the run is not DONE, or when its weights were not kept or cannot be read.
        """
        from ablate.train.trained import load_model  # torch

        return load_model(RunFolder(self.folder), device)

    def __repr__(self) -> str:
        return f"<Run {self.folder}: {self.record.state}>"


@contextmanager
def _composed(words: Sequence[str]) -> Iterator[tuple[ConfigLoader, DictConfig]]:
    """Hydra's loader, and the configuration with every word that is no sweep. Raises ValueError for what is wrong."""
    try:
        arguments.refuse_repeated(words)
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            loader = GlobalHydra.instance().config_loader()
            parsed = OverridesParser.create(loader).parse_overrides(list(words))
            single = [str(override.input_line) for override in parsed if not override.is_sweep_override()]
            yield loader, compose("config", single, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        raise ValueError(explain(error)) from None


def _override(key: str, levels: Level | Sequence[Level]) -> str:
    """A word of the command line. Raises ValueError for an axis without a level."""
    several = levels if isinstance(levels, Sequence) and not isinstance(levels, str) else [levels]
    if not several:
        raise ValueError(f"{key} has no level")
    return f"{key}={','.join(map(_word, several))}"


def _word(level: Level) -> str:
    if level is None or isinstance(level, bool):
        return json.dumps(level)  # null, true
    if isinstance(level, str) and not BARE.fullmatch(level):
        return QuotedString(level, Quote.single).with_quotes()
    return str(level)

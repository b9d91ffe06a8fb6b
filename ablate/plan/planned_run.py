"""From composed configurations to planned runs."""

import dataclasses
import json
import re
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf, flag_override

from ablate.config import signature
from ablate.config.axes import OPTIONAL
from ablate.config.checks import NotRead
from ablate.config.compose import config_folder, from_omegaconf
from ablate.config.pretrained import check_backbone
from ablate.config.schema import HASHED_GROUPS, PATHS, Config, DataConfig
from ablate.plan.data_sets import DataSets
from ablate.plan.labels import label_of
from ablate.records import run_folder
from ablate.records.durations import Kind
from ablate.records.record import Record
from ablate.records.study_plan import Said, fill_levels, varied_axes

if TYPE_CHECKING:
    from ablate.plan.tuning.search import Search

# About the sweep; they do not belong to a run.
OPTIONS = (
    "force", "dry_run", "retry", "study.cells", "study.baseline_seeds", "study.exclude", "study.invalid",
    "study.question", "study.baseline", "study.when", "study.zip", "study.tune_seeds", "study.trials",
)  # fmt: skip


CONFIG = {field.name for field in dataclasses.fields(Config)} | {"hydra"}


@dataclass(frozen=True, eq=False)
class PlannedRun:
    """One cell with one seed, and all that its record will say of what it is."""

    config: Config
    base: DictConfig  # what Hydra composed, interpolations unresolved
    nodes: Mapping[str, Any]  # what takes the place of the base's nodes
    overrides: tuple[str, ...]
    levels: dict[str, str]  # of every group, and of every single setting that was named
    settings: dict[str, str]  # {key: value as text} of every hashed setting, named or not
    identity: dict[str, Any]
    signature: str
    label: str
    options: tuple[str, ...] = ()  # of the command line, which say where configurations lie
    confirms: str = ""  # what of a fraction it checks: "recommended" or "baseline"
    unread: frozenset[str] = frozenset()  # settings that the study varies and this run does not read
    # {tuned key: the value that was chosen for its combination, or that it tries}; None where nothing is chosen yet.
    tuned: Mapping[str, str | None] = field(default_factory=dict)
    own_signature: str | None = None  # of the combination, where an equivalent run is trained in its place

    @cached_property
    def composed(self) -> DictConfig:
        """As Hydra composes it, interpolations unresolved; made when asked for, which in most plans it never is."""
        if not self.nodes:
            return self.base
        composed = self.base.copy()
        with flag_override(composed, ["struct", "readonly"], False):
            for key, node in self.nodes.items():
                composed[key] = node
        return composed

    @property
    def named(self) -> dict[str, str]:
        """The levels that tell its combination from others: its own without those of tuned keys."""
        return {key: level for key, level in self.levels.items() if not _is_tuned(key, self.tuned)}

    @property
    def compared(self) -> dict[str, str]:
        """Its settings without the tuned ones, which each combination has of its own."""
        return {key: value for key, value in self.settings.items() if not _is_tuned(key, self.tuned)}

    @property
    def is_open(self) -> bool:
        """Whether it stands for a run whose tuned values are yet to be chosen."""
        return None in self.tuned.values()

    @property
    def is_whole(self) -> bool:
        """Whether its words do more than change one node each, so that it was composed as a whole."""
        return not self.nodes

    @property
    def said(self) -> Said:
        """What is known of its combination."""
        return said(self.named, self.settings, self.unread)

    @cached_property
    def kind(self) -> Kind:
        """What its cost depends on."""
        return Kind.of_identity(self.identity)

    @property
    def name(self) -> str:
        """What the run is called when it is spoken of."""
        return f"{self.label}-{self.signature}"

    @property
    def study(self) -> Path:
        """The folder of its study."""
        return run_folder.study_folder(self.config.study.root, self.config.study.name)

    def folder(self) -> run_folder.RunFolder:
        """The run's folder: the one that has its signature, else one named by its label."""
        found = run_folder.find_run(self.study, self.signature)
        return found or run_folder.RunFolder(self.study / self.name)

    def record(self) -> Record | None:
        """What the run has left on disk; None when there is no record that can be read."""
        try:
            return self.folder().read()
        except ValueError:
            return None

    def command(self) -> str:
        """The command that trains this run and no other, from any folder."""
        words = [o for o in self.overrides if o.partition("=")[0] not in OPTIONS]
        return shlex.join(["python", "-m", "ablate", *self.options, *map(from_anywhere, words)])


@dataclass
class Planned:
    """A study as one command plans it: its runs, seed by seed, so that a half-done study has whole seeds."""

    runs: list[PlannedRun] = field(default_factory=list)
    excluded: dict[str, int] = field(default_factory=dict)  # {entry of study.exclude: how many combinations it took}
    invalid: dict[str, tuple[int, str]] = field(default_factory=dict)  # {what is wrong: (how many, one of them)}
    whole: int = 1  # combinations that the full grid has
    baseline: dict[str, str] = field(default_factory=dict)  # level of each axis that one_at_a_time varies around
    nested: dict[str, list[str]] = field(default_factory=dict)  # {axis: the axes that decide which levels it has}
    zipped: list[list[str]] = field(default_factory=list)  # keys that move together
    unread: list[str] = field(default_factory=list)  # a sentence on each setting that some levels do not read
    order: list[str] = field(default_factory=list)  # in which a cumulative design adds its axes
    command: str = ""  # what planned it, for a shell
    nameless: bool = False  # whether it is called after its axes, as the command gives it no name
    precision: str | None = None  # what trainer.precision=auto means here
    differs: str = ""  # in what, from the study that already had that name
    data: DataSets = field(default_factory=DataSets)  # what its runs are trained on
    search: "Search | None" = None  # what is tried before its values are chosen
    at: Callable[[Mapping[str, str]], "list[PlannedRun]"] | None = None  # the runs of one more combination of its axes

    @cached_property
    def levels(self) -> list[dict[str, str]]:
        """Each run's level on every axis that any of them names."""
        return fill_levels([run.said for run in self.runs], neutral_levels(), self.nested, self.zipped)

    @cached_property
    def axes(self) -> dict[str, list[str]]:
        """{axis: its levels} of every axis with more than one."""
        axes = varied_axes(self.levels, self.nested)
        return {axis: axes[axis] for axis in [*self.order, *axes] if axis in axes}


def _is_tuned(key: str, tuned: Mapping[str, str | None]) -> bool:
    return key in tuned or key.partition(".")[0] in tuned


def every_run(planned: Planned) -> list[PlannedRun]:
    """The tuning runs of a plan, then those that are compared."""
    return [*(planned.search.runs if planned.search is not None else ()), *planned.runs]


def unique(runs: Sequence[PlannedRun]) -> list[PlannedRun]:
    """One run per signature: equivalent levels are one experiment, trained once, and by its own name."""
    first = {run.signature: run for run in reversed(runs)}
    named = {run.signature: run for run in reversed(runs) if run.own_signature is None}
    return list((first | named).values())[::-1]


def from_anywhere(word: str) -> str:
    """A word of a command with its path, if it has one, made absolute."""
    key, _, value = word.partition("=")
    if key not in PATHS or "${" in value or value in ("", "null"):
        return word
    path = str(Path(value.strip("'\"")).expanduser().absolute())
    if re.fullmatch(r"[\w/.:+-]+", path, re.ASCII):
        return f"{key}={path}"
    escaped = path.replace("\\", "\\\\").replace("'", "\\'")
    return f"{key}='{escaped}'"


def options_of(composed: DictConfig) -> tuple[str, ...]:
    """What the command line said of where configurations lie, as Hydra remembers it."""
    hydra = composed.get("hydra")
    if hydra is None:
        return ()
    folders = [source.path for source in hydra.runtime.config_sources if source.provider == "command-line"]
    name = () if hydra.job.config_name in (None, "config") else ("--config-name", str(hydra.job.config_name))
    return (*(word for folder in folders for word in ("--config-dir", str(folder))), *name)


@cache
def default_levels() -> dict[str, str]:
    """The level of each group that config.yaml's defaults list names: the baseline."""
    defaults = OmegaConf.to_container(OmegaConf.load(config_folder() / "config.yaml"))["defaults"]  # type: ignore[index, call-overload]
    return {
        group: level
        for entry in defaults
        if isinstance(entry, dict)
        for group, level in entry.items()
        if group in HASHED_GROUPS
    }


def plan_run(
    composed: DictConfig,
    choices: Mapping[str, str],
    overrides: Sequence[str],
    fingerprint_of: Callable[[DataConfig], str],
) -> PlannedRun:
    """Validate a composed configuration and name it.

    `choices` are the levels that Hydra chose, `overrides` the job's own words. Raises ValueError.
    """
    options = options_of(composed)
    composed = without_hydra(composed)
    config = from_omegaconf(composed)
    groups = (Group(name, choices[name], composed[name], getattr(config, name)) for name in HASHED_GROUPS)
    parts = {group.name: part_of(group, overrides, fingerprint_of) for group in groups}
    return dataclasses.replace(assemble(config, composed, {}, parts, overrides), options=options)


def without_hydra(composed: DictConfig) -> DictConfig:
    """A copy of a composed configuration without Hydra's own node."""
    composed = composed.copy()
    if "hydra" in composed:
        OmegaConf.set_struct(composed, False)
        del composed["hydra"]
    return composed


@dataclass(frozen=True)
class Group:
    """One hashed group: the level that was chosen, what Hydra composed of it, and that once validated."""

    name: str
    level: str
    node: Any
    config: Any


@dataclass(frozen=True)
class Part:
    """What one hashed group adds to a run, whatever the other groups are."""

    level: str | None  # None: the default level of a group that changes nothing, as before the group existed
    settings: dict[str, str]
    named: dict[str, str]  # {key: level} of its single settings that were named
    identity: dict[str, Any]


def part_of(group: Group, overrides: Sequence[str], fingerprint_of: Callable[[DataConfig], str]) -> Part:
    """What a group adds to a run whose words are `overrides`. Raises ValueError."""
    named_freely = group.level == "timm" or any(o.startswith("backbone.name=") for o in overrides)
    if group.name == "backbone" and named_freely:
        check_backbone(group.config.name)
    if group.name == "backbone" and group.config.weights is not None:
        for word in overrides:
            if word == "backbone.pretrained=false" or re.match(r"backbone\.tag=(?!null)", word):
                raise NotRead(
                    word.partition("=")[0],
                    f"{word} has no effect with backbone.weights={group.config.weights}; remove one of them",
                )
    fingerprint = fingerprint_of(group.config) if group.name == "data" else ""
    identity = signature.identity_of(group.config, fingerprint)
    named = {}
    for key in [o.partition("=")[0].lstrip("+") for o in overrides]:
        if key.startswith(f"{group.name}.") and key not in signature.unhashed():
            named[key] = level_text(OmegaConf.select(group.node, key.partition(".")[2]))
    if not identity and group.level == default_levels().get(group.name):
        return Part(None, {}, named, {})
    settings = {
        f"{group.name}.{name}": level_text(value)
        for name, value in group.node.items()
        if f"{group.name}.{name}" not in signature.unhashed()
    }
    return Part(group.level, settings, named, identity)


def assemble(
    config: Config,
    base: DictConfig,
    nodes: Mapping[str, Any],
    parts: Mapping[str, Part],
    overrides: Sequence[str],
) -> PlannedRun:
    """A run from its validated configuration, what that was composed as, and its hashed groups."""
    levels = {group: level for group in HASHED_GROUPS if (level := parts[group].level) is not None}
    named = {key: text for group in HASHED_GROUPS for key, text in parts[group].named.items()}
    # In the order in which they were named, which the label keeps to.
    levels |= {key: named[key] for o in overrides if (key := o.partition("=")[0].lstrip("+")) in named}
    levels |= own_groups(overrides)
    defaults = default_levels()
    identity = signature.whole(config.seed, {group: parts[group].identity for group in HASHED_GROUPS})
    return PlannedRun(
        config=config,
        base=base,
        nodes=nodes,
        overrides=tuple(overrides),
        levels=levels,
        settings={key: text for group in HASHED_GROUPS for key, text in parts[group].settings.items()},
        identity=identity,
        signature=signature.signature(identity),
        label=label_of({key: level for key, level in levels.items() if defaults.get(key) != level}, config.seed),
    )


def own_groups(overrides: Sequence[str]) -> dict[str, str]:
    """{group: its level} of groups that a user brings, whose files may set keys of several others: `+recipe=strong`."""
    words = (override.lstrip("+").partition("=") for override in overrides)
    return {key: level for key, equals, level in words if equals and key.isidentifier() and key not in CONFIG}


def without_level(run: PlannedRun, key: str) -> PlannedRun:
    """The same run without the level of a setting that planning resolved."""
    levels = {other: level for other, level in run.levels.items() if other != key}
    defaults = default_levels()
    told = {other: level for other, level in levels.items() if defaults.get(other) != level}
    return dataclasses.replace(run, levels=levels, label=label_of(told, run.config.seed))


def said(named: Mapping[str, str], settings: Mapping[str, str], unread: Collection[str]) -> Said:
    """What is known of a combination; what is null exactly where nothing reads it is not read."""
    return Said(named, settings, {*unread, *(key for key in OPTIONAL if settings.get(key) == "null")})


@cache
def neutral_levels() -> dict[str, str]:
    """{axis or setting: its level in what was planned before it existed}."""
    neutral = {
        f"{group.name}.{field.name}": level_text(field.metadata["neutral"])
        for group in dataclasses.fields(Config)
        if group.name in HASHED_GROUPS
        for field in dataclasses.fields(group.type)  # type: ignore[arg-type]
        if "neutral" in field.metadata
    }
    return default_levels() | neutral


def level_text(value: Any) -> str:
    """A value as typed by the schema, so that 0.1 and 1e-1 are one level, and short where it can be."""
    if OmegaConf.is_config(value):
        return str(OmegaConf.to_container(value))
    if value is None or isinstance(value, bool):
        return json.dumps(value)  # as YAML and the command line spell them: true, null
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"
    return str(value)

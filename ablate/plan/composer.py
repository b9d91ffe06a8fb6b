"""Each level of a sweep composed once, and merged into the combinations.

Hydra composes a configuration in a tenth of a second; ten thousand would take a quarter of an hour. But a level writes
into its own group's node alone, and so do the settings that are named with it: what a node becomes depends on its own
words and on what all combinations share. So Hydra composes what is shared, then each level on top of it; its own code
puts the single settings in; and the nodes are merged. Whether a level does keep to its node is checked, not assumed:
the combinations of one that does not (it has a package or a defaults list of its own) are left to Hydra, one by one,
and so are those with `+` or `~`.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ablate.config.checks import NotRead
from ablate.config.compose import explain, reads_other_settings, validate_node
from ablate.config.schema import HASHED_GROUPS, Config, DataConfig
from ablate.plan import planned_run
from ablate.plan.planned_run import Group, Part, PlannedRun


@dataclass(frozen=True)
class Node:
    """One top-level node as one set of words makes it."""

    node: Any
    value: Any  # validated
    part: Part | None  # of a hashed group


class Apart(Exception):
    """These words do more than change one node, or read another: this combination is to be taken as a whole."""


class Composer:
    """Plans the combinations of one sweep."""

    def __init__(
        self,
        loader: ConfigLoader,
        master: DictConfig,
        fixed: Sequence[str],  # words that all combinations share
        fingerprint_of: Callable[[DataConfig], str],
    ) -> None:
        self.loader, self.master, self.fingerprint_of = loader, master, fingerprint_of
        self.parser = OverridesParser.create(config_loader=loader)
        self.parsed: dict[str, Override] = {}
        self.is_group: dict[str, bool] = {}  # each takes Hydra milliseconds
        self.shared = [word for word in fixed if self._is_level(word)]
        composed = self._compose(self.shared)
        self.choices: dict[str, str] = dict(composed.hydra.runtime.choices)
        self.options = planned_run.options_of(composed)
        self.base = planned_run.without_hydra(composed)
        self.plain: Mapping[str, Any] = OmegaConf.to_container(self.base, resolve=False)  # type: ignore[assignment]
        self.levels: dict[str, tuple[Any, str] | Exception] = {}
        self.nodes: dict[tuple[str, tuple[str, ...]], Node | Exception] = {}

    def plan(self, job: Sequence[str]) -> PlannedRun:
        """The run that a job's words name. Raises HydraException or ValueError when they name none."""
        words: dict[str, list[str]] = {}
        for word in job:
            words.setdefault(self.parse(word).key_or_group.partition(".")[0], []).append(word)
        try:
            nodes = {key: self._node(key, tuple(words.get(key, ()))) for key in [*self.plain, *words]}
        except Apart:
            composed = self._compose(job)
            return planned_run.plan_run(composed, composed.hydra.runtime.choices, job, self.fingerprint_of)
        run = planned_run.assemble(
            Config(**{key: node.value for key, node in nodes.items()}),
            self.base,
            {key: nodes[key].node for key in words},
            {key: node.part for key, node in nodes.items() if node.part is not None},
            job,
        )
        return dataclasses.replace(run, options=self.options)

    def unread(self, group: str, words: Sequence[str]) -> NotRead | None:
        """The first setting of a group that nothing reads, of a combination with these words; None without one, and
        where something else is wrong with them."""
        try:
            try:
                self._node(group, tuple(words))
            except Apart:
                composed = self._compose([*self.shared, *(word for word in words if word not in self.shared)])
                planned_run.plan_run(composed, composed.hydra.runtime.choices, words, self.fingerprint_of)
        except NotRead as error:
            return error
        except (HydraException, ValueError):
            return None
        return None

    def _compose(self, words: Sequence[str]) -> DictConfig:
        """Let Hydra compose. Raises HydraException, also for a file that is no configuration."""
        try:
            return self.loader.load_sweep_config(self.master, list(words))
        except (HydraException, OmegaConfBaseException, ValueError):
            raise
        except Exception as error:  # a file of a user's own may be anything, and Hydra only asserts what it should be
            why = explain(error) or "Hydra cannot read a configuration that it names"
            raise HydraException(f"{' '.join(words)}: {why}") from None

    def parse(self, word: str) -> Override:
        if word not in self.parsed:
            self.parsed[word] = self.parser.parse_override(word)
        return self.parsed[word]

    def _is_level(self, word: str) -> bool:
        key = self.parse(word).key_or_group
        if key not in self.is_group:
            self.is_group[key] = "." not in key and bool(self.loader.get_group_options(key))
        return self.is_group[key]

    def _node(self, key: str, words: tuple[str, ...]) -> Node:
        """The node that these words make of `key`; what is wrong with them is found out once, too."""
        place = (key, words)
        if place not in self.nodes:
            try:
                self.nodes[place] = self._make_node(key, words)
            except (Apart, ValueError, HydraException) as error:
                self.nodes[place] = error
        made = self.nodes[place]
        if isinstance(made, Exception):
            raise made
        return made

    def _make_node(self, key: str, words: tuple[str, ...]) -> Node:
        overrides = [self.parse(word) for word in words]
        if key not in self.plain or any(o.type is not OverrideType.CHANGE or o.package is not None for o in overrides):
            self._leave_to_hydra(key, words)
        node, level = self.base._get_node(key), self.choices.get(key)
        for word in words:
            if self._is_level(word) and word not in self.shared:
                node, level = self._level(key, word)
        settings = [self.parse(word) for word in words if not self._is_level(word)]
        alone = OmegaConf.create({}, flags={"struct": False})
        alone[key] = node
        OmegaConf.set_struct(alone, True)
        try:
            ConfigLoaderImpl._apply_overrides_to_config(settings, alone)
        except (HydraException, OmegaConfBaseException, ValueError):
            self._leave_to_hydra(key, words)  # which says what is wrong in the words that it has for the whole
        if reads_other_settings(alone):
            raise Apart(key)
        value, node, part = validate_node(alone, key), alone._get_node(key), None
        if key in HASHED_GROUPS:
            assert level is not None
            part = planned_run.part_of(Group(key, level, alone[key], value), words, self.fingerprint_of)
        return Node(node, value, part)

    def _leave_to_hydra(self, key: str, words: Sequence[str]) -> NoReturn:
        """Raise Apart, or, where the words are wrong in themselves, what Hydra says to that."""
        self._compose([*self.shared, *(w for w in words if w not in self.shared)])
        raise Apart(key)

    def _level(self, group: str, word: str) -> tuple[Any, str]:
        if word not in self.levels:
            try:
                self.levels[word] = self._compose_level(group, word)
            except (Apart, HydraException) as error:
                self.levels[word] = error
        level = self.levels[word]
        if isinstance(level, Exception):
            raise level
        return level

    def _compose_level(self, group: str, word: str) -> tuple[Any, str]:
        composed = self._compose([*self.shared, word])
        choices = dict(composed.hydra.runtime.choices)
        composed = planned_run.without_hydra(composed)
        plain: Mapping[str, Any] = OmegaConf.to_container(composed, resolve=False)  # type: ignore[assignment]
        same = self.choices | {group: choices[group]} == choices
        if not same or {**plain, group: None} != {**self.plain, group: None}:
            raise Apart(group)
        return composed._get_node(group), choices[group]

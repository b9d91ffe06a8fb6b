"""What the tables of a paper are to show: names, order and columns, as `--paper FILE` gives them."""

import tomllib
from dataclasses import field
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from ablate.records.metrics import METRICS, canonical
from ablate.records.study_plan import StudyPlan


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Wishes:
    """The content of a TOML file; every key may be left out.

    names: {axis, axis=level or metric: what the tables call it}. levels: {axis: those shown, in this order}.
    """

    metrics: list[str] = field(default_factory=list)  # the columns; none is the study's metric alone
    spread: Literal["sd", "interval"] = "sd"  # what stands after ±: of seeds, or half the 95 % interval of the mean
    components: list[str] = field(default_factory=list)  # axes of the first table, in this order; none is all
    rows: str = ""  # axis down the second table
    columns: str = ""  # axis across it
    names: dict[str, str] = field(default_factory=dict)
    levels: dict[str, list[str]] = field(default_factory=dict)

    def of_axis(self, axis: str, otherwise: str) -> str:
        """What the tables call an axis."""
        return self.names.get(axis, otherwise)

    def of_level(self, axis: str, level: str) -> str:
        """What the tables call a level."""
        return self.names.get(f"{axis}={level}", level)


def read(path: Path, plan: StudyPlan) -> Wishes:
    """The wishes of a file. Raises ValueError where it cannot be read, or names what the study does not have."""
    try:
        wishes: Wishes = TypeAdapter(Wishes).validate_python(tomllib.loads(path.read_text()))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        known = ", ".join(Wishes.__dataclass_fields__)
        raise ValueError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']} (keys: {known})") from None
    for axis in (*wishes.components, *wishes.levels, *filter(None, (wishes.rows, wishes.columns))):
        if axis not in plan.axes:
            raise ValueError(f"{path}: {axis} is no axis of this study, which has {', '.join(plan.axes)}")
    for axis, levels in wishes.levels.items():
        for level in levels:
            if level not in plan.axes[axis]:
                raise ValueError(f"{path}: {axis} has no level {level}; it has {', '.join(plan.axes[axis])}")
    for metric in map(canonical, wishes.metrics):
        if metric not in METRICS:
            raise ValueError(f"{path}: there is no metric {metric!r}; choose from {', '.join(METRICS)}")
    return wishes

"""`ablate --help`: what to type first, the axes with their levels, the settings of a study, the commands."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from ablate.config import levels
from ablate.config.schema import AXES

WIDTH = 79
START = """\
ablate compares training choices for image classification.

usage: ablate AXIS=LEVEL[,LEVEL...] [SETTING=VALUE[,VALUE...]] [seeds=N]
       ablate COMMAND [...]                    python -m ablate is the same

Start here:
  ablate study=demo                            a small study in a file
  ablate backbone=resnet18,resnet34 seeds=3    compare levels of an axis
  ablate optimizer.lr=0.1,0.01 seeds=3         compare values of any setting
  ablate data=DIR backbone=convnext_tiny       your pictures, any timm network
  ablate batch_size=64,128 dry_run=true        print the plan and its cost
  ablate report                                which choices matter, how much
"""
LEVELS = """\
Axes and levels. Every model of timm is a backbone by its name, and every
number a level of {numbers}. Any setting can be an axis, too.
"""
SETTINGS = """\
Settings of a study:
  seeds=3                      three seeds of each combination; seed=0,5 names
                               them
  trainer.epochs=10            epochs of each run
  backbone.pretrained=true     start from timm's weights
  data.path=DIR                where the images are
  study.name=NAME              keep it in outputs/NAME (default: its axes)
  study.design=one_at_a_time   each axis around the defaults; cumulative: one
                               on top of the other; fractional: some of all
                               combinations (default: grid, all)
  "study.baseline=augment=flip head=linear"            what those vary around
  "study.when=['optimizer=sgd: optimizer.lr=0.1,0.2']" values of a level's own
  "study.zip=['batch_size optimizer.lr']"              what moves together
  "study.exclude=['backbone=resnet50 batch_size=64']"  leave out combinations
  study.invalid=skip           leave out invalid ones
  tune.optimizer.lr=x0.3,x1,x3 choose a value for each combination on the
                               holdout, then compare on fresh seeds
  study.slots=2                runs at once (default: as many as fit)
  trainer.device=cpu           default: a GPU where there is one
  force=true                   train finished runs again; retry=diverged,oom
                               those that ended so
All settings and their values: ablate --cfg job
"""
END = """\
Documentation: README.md and the folder docs. Your own level is a file in
conf/AXIS, or in a folder DIR with --config-dir DIR.
Tab completion: eval "$(ablate -sc install=bash)"
"""


def text(commands: Mapping[str, str], own: Sequence[Path] = ()) -> str:
    """The whole of it, in lines of 79 characters. `own` are folders of configurations that the command brings."""
    numbers = " or ".join(axis for axis in AXES if levels.is_numeric(axis))
    groups = [_wrapped(f"  {group}: ", ", ".join(_levels(group, own))) for group in (*AXES, "data", "study")]
    known = [_wrapped(f"  ablate {name:<10} ", what) for name, what in commands.items()]
    parts = [
        START,
        LEVELS.format(numbers=numbers) + "\n".join(groups) + "\n",
        SETTINGS,
        "Commands, each with --help:\n" + "\n".join(known) + "\n",
        END,
    ]
    return "\n".join(parts)


def _levels(group: str, own: Sequence[Path]) -> list[str]:
    """A group's levels in the order of the numbers in their names: b64 before b1024."""
    known = {*levels.files(group), *(level for folder in own for level in levels.files(group, folder))} - {"default"}
    parts = {level: re.split(r"(\d+)", level) for level in known}
    return sorted(known, key=lambda level: [int(part) if part.isdigit() else part for part in parts[level]])


def _wrapped(begin: str, content: str) -> str:
    return textwrap.fill(content, WIDTH, initial_indent=begin, subsequent_indent=" " * min(len(begin), 20))

"""Commands that messages suggest."""

import shlex
import sys
from pathlib import Path


def command(*words: str) -> str:
    """A command of ablate, quoted for a shell, by the name that this process was started by."""
    program = ["ablate"] if Path(sys.argv[0]).name == "ablate" else ["python", "-m", "ablate"]
    return shlex.join([*program, *words])

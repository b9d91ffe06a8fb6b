"""The report on a study: reads records, writes Markdown, HTML, figures and tables. Never imports torch.

Its one name is `ablate.report`. In a checkout its folder can be found as `report` too, and is then the same module.
"""

import importlib
import sys
from typing import Any

__all__ = ["Frames", "load"]

if __name__ == "report":
    sys.modules[__name__] = importlib.import_module("ablate.report")


def __getattr__(name: str) -> Any:
    """`Frames` and `load` of ablate.report.frames, imported when they are asked for."""
    if name in __all__:
        return getattr(importlib.import_module("ablate.report.frames"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

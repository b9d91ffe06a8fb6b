"""Compare training choices for image classification, and know how far to trust the answer.

import ablate

study = ablate.create_study({"backbone": ["resnet18", "resnet34"], "optimizer": ["adam", "sgd"]}, seeds=3)
study.plan                                 # a frame with a row per run; nothing is trained yet
study = study.run()                        # trains what is not finished yet

study = ablate.load_study("outputs/main")  # any study, finished or not
study.runs, study.epochs, study.effects    # frames
study.report()                             # writes the report
study.best.model().predict(["cat.jpg"])
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ablate.api import PlannedStudy, Run, Study, create_study, load_run, load_study

__version__ = "0.2.0"
__all__ = ["PlannedStudy", "Run", "Study", "__version__", "create_study", "load_run", "load_study"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: most commands need none, and pandas takes half a second."""
    if name in __all__:
        from ablate import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__

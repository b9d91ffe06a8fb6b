"""Levels that have no effect in the training that a plan asks for: said before it, once for each, and not refused."""

from collections.abc import Mapping, Sequence

from ablate.config.budget import Budget
from ablate.plan.planned_run import Planned, PlannedRun


def sentences(planned: Planned) -> list[str]:
    """One sentence on each level without an effect, with what to change.

    Read from the settings of each place, which an equivalent run of another level may serve.
    """
    found: dict[tuple[str, ...], str] = {}
    for run in planned.runs:
        level = run.levels["scheduler"]
        read = {name: run.settings.get(f"scheduler.{name}", "null") for name in ("name", "patience", "every", "warmup")}
        if why := never_acts(read, run.budget, run.config.trainer.steps is not None):
            found.setdefault((level, *read.values()), f"scheduler={level} {why}")
    return [*found.values(), *_unread_tags(planned.runs)]


def never_acts(scheduler: Mapping[str, str], budget: Budget, in_steps: bool = False) -> str:
    """Why a schedule changes nothing, or its warm-up takes all, in a budget, which is given in epochs or in steps; ""
    where it acts."""
    epochs, steps, name = budget.epochs, budget.steps, scheduler["name"]
    trained = "1 epoch" if epochs == 1 else f"{epochs} epochs"
    setting = "trainer.steps" if in_steps else "trainer.epochs"

    def begun(epoch: int) -> str:
        """The setting with which an epoch is begun."""
        return f"{setting}={budget.steps_per_epoch * (epoch - 1) + 1 if in_steps else epoch}"

    if name == "plateau" and epochs <= (patience := int(scheduler["patience"])) + 2:
        # The first epoch is never one without a better loss, and what comes after the last one trains nothing.
        sooner = f"scheduler.patience={epochs - 3} or " if epochs >= 3 else ""
        return (
            f"never lowers the learning rate in {trained}: with scheduler.patience={patience} it can after "
            f"{patience + 2} epochs; give {sooner}{begun(patience + 3)} or more"
        )
    if name == "step" and epochs <= (every := int(scheduler["every"])):
        sooner = f"scheduler.every={max(1, epochs // 3)} or " if epochs > 1 else ""
        return (
            f"never lowers the learning rate in {trained}: its first step is after scheduler.every={every} of them; "
            f"give {sooner}{begun(every + 1)} or more"
        )
    if scheduler["warmup"] == "null":
        return ""
    rise = round(float(scheduler["warmup"]) * steps)
    if rise >= steps:
        return (
            f"warms up in all {steps} steps of {trained} and does nothing else; scheduler.warmup=0.1 ends the warm-up "
            "after a tenth of them"
        )
    if rise < 2:
        return (
            f"has no warm-up in the {steps} steps of {trained}: scheduler.warmup={scheduler['warmup']} of them is less "
            f"than 2 steps; give scheduler.warmup={_share(steps)} or more {setting}"
        )
    return ""


def _share(steps: int) -> str:
    """The smallest round share of the steps that is two of them or more."""
    return f"{next((share for share in (0.1, 0.2, 0.3, 0.5) if round(share * steps) > 1), 0.5):g}"


def _unread_tags(runs: Sequence[PlannedRun]) -> list[str]:
    """Names such as resnet18.a1_in1k, of which a run from scratch reads the first part alone."""
    unread = {
        run.levels["backbone"]: run.config.backbone.name
        for run in runs
        if "." in run.levels["backbone"] and not run.config.backbone.pretrained
    }
    return [
        f"backbone={level} names pretrained weights and starts from scratch, as {name} does; "
        "backbone.pretrained=true starts from the weights"
        for level, name in unread.items()
    ]

"""Levels that have no effect in the training that a plan asks for: said before it, once for each, and not refused."""

from collections.abc import Mapping, Sequence

from ablate.plan.planned_run import Planned, PlannedRun


def sentences(planned: Planned) -> list[str]:
    """One sentence on each level without an effect, with what to change.

    Read from the settings of each place, which an equivalent run of another level may serve.
    """
    found: dict[tuple[str, ...], str] = {}
    for run in planned.runs:
        config, level = run.config, run.levels["scheduler"]
        images = planned.data.trained.get(repr(config.data), config.batch_size.size)
        steps = config.trainer.epochs * max(1, images // config.batch_size.size)
        read = {name: run.settings.get(f"scheduler.{name}", "null") for name in ("name", "patience", "every", "warmup")}
        if why := never_acts(read, config.trainer.epochs, steps):
            found.setdefault((level, *read.values()), f"scheduler={level} {why}")
    return [*found.values(), *_unread_tags(planned.runs)]


def never_acts(scheduler: Mapping[str, str], epochs: int, steps: int) -> str:
    """Why a schedule changes nothing, or its warm-up takes all, in so many epochs and steps; "" where it acts."""
    trained, name = "1 epoch" if epochs == 1 else f"{epochs} epochs", scheduler["name"]
    if name == "plateau" and epochs <= (patience := int(scheduler["patience"])) + 2:
        # The first epoch is never one without a better loss, and what comes after the last one trains nothing.
        sooner = f"scheduler.patience={epochs - 3} or " if epochs >= 3 else ""
        return (
            f"never lowers the learning rate in {trained}: with scheduler.patience={patience} it can after "
            f"{patience + 2} epochs; give {sooner}trainer.epochs={patience + 3} or more"
        )
    if name == "step" and epochs <= (every := int(scheduler["every"])):
        sooner = f"scheduler.every={max(1, epochs // 3)} or " if epochs > 1 else ""
        return (
            f"never lowers the learning rate in {trained}: its first step is after scheduler.every={every} of them; "
            f"give {sooner}trainer.epochs={every + 1} or more"
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
            f"than 2 steps; give scheduler.warmup={_share(steps)} or more trainer.epochs"
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

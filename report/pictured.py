"""The sections that are a figure and what it says: paired differences, interactions, cost."""

import pandas as pd

from ablate.metrics import METRICS

from . import analyse
from . import markdown as md
from .gather import Study
from .info import Effects
from .page import Block, Fold, Number, Paragraph, Picture, Section, Table
from .scatter import front


def pairs(drawn: bool) -> Section | None:
    """The section about matched pairs."""
    if not drawn:
        return None
    about = (
        "A dot for each pair of runs that share every other level and the seed: what changing this one choice did "
        "there. Dots on both sides of zero: the effect depends on the rest, or is noise."
    )
    return Section(
        "Paired differences", (Paragraph(about), Picture("pairs", "Difference of each matched pair of runs"))
    )


def interactions(effects: Effects, spoken: int, rest: int) -> Section | None:
    """The section about pairs of axes; those not worth a mention are folded."""
    if not spoken and not rest:
        return None
    tested = len(effects.interactions)
    worth = sum(found.worth_a_mention for found in effects.interactions)
    blocks: list[Block] = []
    if spoken:
        blocks += [
            Paragraph(
                f"{worth} of {md.count(tested, 'pair')} of axes {'is' if worth == 1 else 'are'} worth a mention: the "
                f"mean of each pair of levels, in {METRICS[effects.metric].unit} from the grand mean."
            ),
            Picture("interactions", "Means of pairs of levels, for the axes that interact"),
        ]
    else:
        blocks.append(Paragraph(f"None of {md.count(tested, 'pair')} of axes is worth a mention."))
    if rest:
        which = f"The {rest} likeliest of the other {tested - worth}" if tested - worth > rest else "The other pairs"
        blocks.append(Fold(which, (Picture("interactions_rest", "Means of pairs of levels, for the other axes"),)))
    return Section("Interactions", tuple(blocks))


def cost(study: Study, board: pd.DataFrame, drawn: bool) -> Section | None:
    """The section about time: the combinations that none beats in both time and accuracy."""
    if not drawn:
        return None
    best = front(board)
    rows = tuple(
        (
            str(number),
            analyse.label(study, row),
            Number(md.duration(row["seconds"]), float(row["seconds"])),
            md.percent(row["holdout_accuracy_mean"], row["holdout_accuracy_sd"]),
            md.percent(row["test_accuracy_mean"], row["test_accuracy_sd"]),
        )
        for number, (_, row) in enumerate(best.iterrows(), start=1)
    )
    about = (
        "The front: combinations that no other beats in both time and holdout accuracy. Times are what the runs took "
        "where they ran, also when others ran beside them."
    )
    header = ("#", "combination", "time per run", "holdout %", "test %")
    table = Table("The Pareto front, the cheapest first", header, rows, (0, 2, 3, 4))
    picture = Picture("cost", "Time per run against test accuracy, with the Pareto front")
    return Section("Cost", (Paragraph(about), picture, table))

"""The section Sample predictions: some test images, half of them classified wrongly where there are enough."""

from matplotlib.figure import Figure

from ablate.records.confusion import short_name
from ablate.report.analysis import Analysis
from ablate.report.page import drawing
from ablate.report.page.blocks import Paragraph, Picture, Section
from ablate.report.page.drawing import COLOURS
from ablate.report.study import samples, tables
from ablate.report.study.samples import Samples


def section(analysis: Analysis) -> Section | None:
    """Those of the run that represents the study; None where it left none."""
    run = analysis.best_run
    found = samples.load(analysis.study.folder / run["folder"]) if run is not None else None
    if run is None or found is None:
        return None
    about = (
        f"Test images as the best combination by the holdout sees them, {tables.in_a_sentence(analysis.study, run)}, "
        f"seed {run['seed']}: the predicted class with its probability and, where that is wrong, the true class. Wrong "
        "ones are shown more often than they occur."
    )
    wrong = int((found.labels != found.guesses).sum())
    alt = f"{len(found.labels)} test images with their predicted classes, {wrong} of them wrong"
    return Section(
        "Sample predictions", (Paragraph(about), Picture("samples", alt, draw(found), draw(found, 3), photos=True))
    )


def draw(found: Samples, columns: int = 6) -> Figure:
    """A grid of images, each under its predicted class."""
    rows = -(-len(found.images) // columns)
    width = drawing.WIDE if columns > 3 else drawing.NARROW
    figure = Figure(figsize=(width, rows * (width / columns + 0.35)), layout="constrained")
    for place, image in enumerate(found.images):
        guess, label = int(found.guesses[place]), int(found.labels[place])
        axes = figure.add_subplot(rows, columns, place + 1)
        axes.imshow(image, interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
        colour = COLOURS[0] if guess == label else COLOURS[1]
        axes.spines[:].set(color=colour, linewidth=2)
        said = [f"{short_name(found.classes[guess], guess)} {100 * found.probability[place]:.0f} %"]
        said += [] if guess == label else [f"not {short_name(found.classes[label], label)}"]
        axes.set_title("\n".join(drawing.short(line, 22) for line in said), fontsize=8, color=colour, loc="left")
    return figure

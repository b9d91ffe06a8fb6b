"""TensorBoard: what it shows of a run and of a study, and that its failures are nobody else's."""

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams.backend_context import Context
from torch.utils.tensorboard import FileWriter, SummaryWriter

from ablate.plan import study_file
from ablate.plan.planned_run import Planned
from ablate.report.sections.images.confusion import _draw_matrix
from ablate.run import pictures, samples, tensorboard
from ablate.run.attempt import levels_in_study
from ablate.run.pictures import Predicted
from ablate.run.tensorboard import Board
from tests.given import ROOT, planned

ROW = {"epoch": 1, "train_loss": 2.0, "test_accuracy": 0.25, "lr": 0.1, "images_per_second": 9.0, "seconds": 1.0}
METRICS = {"holdout_accuracy": 0.5, "test_accuracy": 0.4, "test_loss": 1.5, "best_holdout_epoch": 2.0}
CLASSES = ("cat", "dog", "eel")


def read(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder), size_guidance={"images": 0})
    events.Reload()
    return events


def predictions(count: int, wrong: int) -> tuple[np.ndarray, torch.Tensor, torch.Tensor]:
    """Images, labels and logits; the first `wrong` are taken for the next class."""
    images = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    labels = torch.arange(count) % 3
    guesses = torch.where(torch.arange(count) < wrong, (labels + 1) % 3, labels)
    return images, labels, 3.0 * torch.nn.functional.one_hot(guesses, 3)


# -- what a run shows -------------------------------------------------------------------------


def test_a_run_has_scalars_and_pictures(tmp_path: Path) -> None:
    board = Board(tmp_path)
    board.scalars(ROW)
    for epoch in (1, 2):
        board.confusion(epoch, np.array([[5, 1, 0], [0, 4, 0], [2, 0, 3]]), CLASSES)
    board.samples(*predictions(30, 15), CLASSES, 2)
    board.close()
    events = read(tmp_path)
    assert set(events.Tags()["scalars"]) == {
        "train/loss", "test/accuracy", "run/lr", "run/images_per_second", "run/seconds",
    }  # fmt: skip
    assert [(e.step, e.value) for e in events.Scalars("run/lr")] == [(1, pytest.approx(0.1))]
    assert [e.step for e in events.Images("confusion")] == [1, 2]
    assert [e.step for e in events.Images("samples")] == [2]
    assert events.Images("confusion")[0].encoded_image_string.startswith(b"\x89PNG")


def test_the_runs_of_a_study_are_rows_with_the_columns_of_all_of_them(tmp_path: Path) -> None:
    """Runs of two sweeps name different settings; what varies comes first, the accuracies too."""
    levels = ({"backbone": "a", "optimizer": "adam"}, {"backbone": "a", "optimizer": "sgd", "optimizer.lr": "0.1"})
    for number, of_run in enumerate(levels):
        for seed in (0, 1):
            board = Board(tmp_path / f"run{number}-s{seed}")
            board.scalars(ROW)
            board.hparams(of_run | {"seed": seed}, METRICS)
            board.close()
    multiplexer = EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(tmp_path))
    multiplexer.Reload()
    context = Context(TBContext(data_provider=MultiplexerDataProvider(multiplexer, str(tmp_path))))
    seen = context.hparams_metadata(RequestContext(), "")
    assert sorted(seen) == [f"run{number}-s{seed}" for number in (0, 1) for seed in (0, 1)]
    study = context.experiment_from_metadata(RequestContext(), "", True, seen, [])
    assert {c.name: c.differs for c in study.hparam_infos} == {
        "optimizer": True, "seed": True, "backbone": False, "optimizer.lr": False,
    }  # fmt: skip
    assert [c.name for c in study.hparam_infos][:2] == ["optimizer", "seed"]
    tags = [metric.name.tag for metric in study.metric_infos]
    curves = ["run/images_per_second", "run/lr", "run/seconds", "test/accuracy", "train/loss"]
    assert tags == [*curves, "trained/best_holdout_epoch"]
    events = read(tmp_path / "run0-s0")
    assert events.Scalars("trained/best_holdout_epoch")[0].value == 2
    assert len(list((tmp_path / "run0-s0").iterdir())) == 1  # TensorBoard follows one file at a time


def test_a_setting_left_at_its_default_has_its_value_where_other_runs_vary_it(tmp_path: Path) -> None:
    runs = [planned(tmp_path, "optimizer=sgd", *more) for more in ((), ("optimizer.momentum=0.5",))]
    assert "optimizer.momentum" not in levels_in_study(runs[0])  # by itself
    study_file.remember(Planned(runs))
    assert [levels_in_study(run)["optimizer.momentum"] for run in runs] == ["0.9", "0.5"]
    assert "optimizer.nesterov" not in levels_in_study(runs[0])  # a constant


# -- failures ---------------------------------------------------------------------------------


def everything(board: Board) -> None:
    board.scalars(ROW)
    board.confusion(1, np.eye(3, dtype=np.int64), CLASSES)
    board.samples(*predictions(6, 3), CLASSES, 1)
    board.hparams({"backbone": "a"}, METRICS)
    board.close()


@pytest.mark.parametrize(
    ("owner", "broken"),
    [(SummaryWriter, "__init__"), (SummaryWriter, "add_scalar"), (FileWriter, "add_summary"), (SummaryWriter, "close"),
     (pictures, "confusion"), (pictures, "samples"), (tensorboard, "choose")],
)  # fmt: skip
def test_a_failure_is_said_once_and_goes_no_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, owner: Any, broken: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(owner, broken, full)
    with caplog.at_level(logging.WARNING, "ablate"):
        everything(Board(tmp_path))
    assert [r.getMessage() for r in caplog.records] == [
        "TensorBoard is off for this run: [Errno 28] No space left on device"
    ]


def test_without_a_folder_nothing_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "confusion", lambda *_: pytest.fail("drawn for nobody"))
    everything(Board(None))


@pytest.mark.slow
def test_matplotlib_is_imported_by_the_first_picture_only() -> None:
    program = "import ablate.run.tensorboard, sys; print([m for m in sys.modules if m.startswith('matplotlib')])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
    program = "import ablate.run.pictures, sys; print([m for m in ('torch', 'matplotlib.pyplot') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


# -- the pictures themselves ------------------------------------------------------------------


def test_pictures_are_pixels_and_the_same_every_time() -> None:
    counts = np.array([[5, 1, 0], [0, 4, 0], [2, 0, 3]])
    images, labels, logits = predictions(7, 3)
    guesses, probability = logits.argmax(1).numpy(), logits.softmax(1).amax(1).numpy()
    for draw in (
        lambda: pictures.confusion(counts, CLASSES, 1),
        lambda: pictures.samples(images, Predicted(labels.numpy(), guesses, probability), CLASSES, 1),
    ):
        first = draw()
        assert first.dtype == np.uint8
        assert first.ndim == 3
        assert first.shape[2] == 3
        assert len(np.unique(first)) > 20
        assert np.array_equal(first, draw())


# -- confusion: as TensorBoard shows it, and as the report does -------------------------------


def matrix(counts: np.ndarray, classes: list[str]) -> Axes:
    axes = Figure().add_subplot()
    _draw_matrix(axes, counts, classes)
    FigureCanvasAgg(axes.figure).draw()  # a name that the font or the mathematics cannot draw would raise here
    return axes


def inside(picture: np.ndarray, row: int, column: int, classes: int = 10) -> np.ndarray:
    """The pixels (N, 3) of a cell, without its borders; the first lies in a corner, which no number covers."""
    dark = (picture == 0).all(axis=2)  # the frame
    top = int(np.flatnonzero(dark.sum(axis=1) > 500)[0])
    left = int(np.flatnonzero(dark.sum(axis=0) > 500)[0])
    side = (600 if classes <= 40 else 840) // classes
    y, x = top + row * side, left + column * side
    return picture[y + 2 : y + side - 1, x + 2 : x + side - 1].reshape(-1, 3)


def cell(picture: np.ndarray, row: int, column: int, classes: int) -> tuple[int, ...]:
    """The colour of a cell."""
    return tuple(map(int, inside(picture, row, column, classes)[0]))


def test_few_classes_are_annotated_with_their_share() -> None:
    counts = np.diag([90] * 10) + np.diag([10] * 9, 1)
    counts[9, 0], counts[2, 5] = 10, 300
    counts[1, 7] = 10_000  # beside it, 90 of 10100 are less than one percent
    names = [f"class {n}" for n in range(10)]
    axes = matrix(counts, names)
    shares = {text.get_position(): text.get_text() for text in axes.texts}
    assert shares[(0, 0)] == "90"  # (column, row)
    assert shares[(1, 0)] == "10"
    assert (shares[(2, 2)], shares[(5, 2)]) == ("22", "75")
    assert shares[(2, 1)] == "<1"
    assert (0, 3) not in shares
    assert [t.get_text() for t in axes.get_xticklabels()] == [t.get_text() for t in axes.get_yticklabels()] == names
    assert axes.images[0].get_array()[2, 5] == pytest.approx(0.75)

    picture = pictures.confusion(counts, names, 7)
    colour_of = lambda share: tuple(int(v) for v in pictures._colours(np.array([share]))[0])  # noqa: E731
    for (row, column), share in {(0, 0): 0.9, (0, 1): 0.1, (2, 5): 0.75, (3, 0): 0.0}.items():
        assert cell(picture, row, column, 10) == colour_of(share)
    assert len(np.unique(inside(picture, 0, 1), axis=0)) > 2  # its number
    assert len(np.unique(inside(picture, 3, 0), axis=0)) == 1


def test_many_classes_are_a_heat_map_with_a_few_names() -> None:
    names = [f"n{n}" for n in range(200)]
    counts = np.diag([50] * 200)
    axes = matrix(counts, names)
    assert not axes.texts
    labels = [t.get_text() for t in axes.get_yticklabels()]
    assert 10 <= len(labels) <= 30
    assert labels == [f"n{int(place)}" for place in axes.get_yticks()]
    assert pictures.named_places(names) == ([int(place) for place in axes.get_yticks()], labels)
    picture = pictures.confusion(counts, names, 1)
    assert len({cell(picture, n, n, 200) for n in (1, 100, 198)}) == 1
    assert cell(picture, 1, 1, 200) != cell(picture, 1, 2, 200)


def test_a_class_without_images_is_grey_and_names_are_drawable() -> None:
    names = ["$\\frac{$", "猫", "a\n\tb", "x" * 99, ""]
    counts = np.diag([1, 1, 1, 1, 0])
    axes = matrix(counts, names)
    assert axes.images[0].get_array().mask[4].all()
    labels = [t.get_text() for t in axes.get_xticklabels()]
    assert labels == ["$\\frac{$", "class 1", "a b", "x" * 17 + "…", "class 4"]
    picture = pictures.confusion(counts, names, 1)
    assert cell(picture, 4, 0, 5) == (204, 204, 204) != cell(picture, 0, 1, 5)
    found = Predicted(np.arange(5), np.arange(5), np.full(5, np.nan))
    pictures.samples(np.zeros((5, 4, 4, 3), np.uint8), found, names, 1)


def test_right_and_wrong_differ_in_sign_and_colour() -> None:
    images, labels, logits = predictions(4, 2)
    guesses, probability = logits.argmax(1).numpy(), logits.softmax(1).amax(1).numpy()
    assert pictures.caption(0, 1, 0.906, CLASSES) == "✗ dog (91 %)\ntrue: cat"
    assert pictures.caption(2, 2, 0.906, CLASSES) == "✓ eel (91 %)\ntrue: eel"
    sheet = pictures.samples(images, Predicted(labels.numpy(), guesses, probability), CLASSES, 5)
    (width, height), side, margin = pictures.CELL, pictures.SIDE, pictures.MARGIN
    top = pictures.HEADING + height - side - margin
    frames = [f"#{bytes(sheet[top, column * width + margin]).hex()}" for column in range(4)]
    assert frames == [c.lower() for c in (pictures.WRONG, pictures.WRONG, pictures.RIGHT, pictures.RIGHT)]
    inside = sheet[top + side // 2, margin + side // 2]
    assert (inside == images[0, 4, 4]).all()


@pytest.mark.parametrize(
    ("hits", "misses", "expected"),
    [(100, 100, (12, 12)), (100, 3, (21, 3)), (3, 100, (3, 21)), (5, 4, (5, 4)), (0, 50, (0, 24)), (50, 0, (24, 0))],
)
def test_samples_are_half_right_and_half_wrong_where_there_are_enough(
    hits: int, misses: int, expected: tuple[int, int]
) -> None:
    right = np.random.default_rng(0).permutation(np.arange(hits + misses) < hits)
    chosen = samples.choose(right)
    assert len(set(chosen)) == len(chosen)
    assert (right[chosen].sum(), (~right[chosen]).sum()) == expected
    assert right[chosen][: expected[0]].all()
    assert np.array_equal(chosen, samples.choose(right))
    if hits == misses == 100:
        assert chosen.max() > 150  # from all over the test set, whose classes may be in order


@pytest.mark.parametrize(("classes", "name"), [(3, "c"), (20, "HAMMERHEAD OF WALES"), (200, "HAMMERHEAD OF WALES")])
def test_all_of_a_picture_lies_within_it(classes: int, name: str) -> None:
    names = [name] * classes
    picture = pictures.confusion(np.ones((classes, classes), np.int64), names, 100)
    sheet = pictures.samples(
        np.zeros((6, 4, 4, 3), np.uint8), Predicted(np.zeros(6, int), np.ones(6, int), np.ones(6)), names, 100
    )
    for drawn in (picture, sheet):
        for edge in (drawn[0], drawn[-1], drawn[:, 0], drawn[:, -1]):
            assert (edge == 255).all()
    borders = np.arange(1, pictures.COLUMNS) * pictures.CELL[0]
    below = sheet[pictures.HEADING :]
    assert (below[:, borders] == 255).all()  # no caption runs into the next
    assert (below < 255).any()

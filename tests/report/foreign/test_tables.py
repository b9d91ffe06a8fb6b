"""Tables that people write: what each column is taken for, and what is refused in a sentence."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ablate.records.metrics import METRICS
from ablate.report import command
from ablate.report.analysis import Analysis, analyse
from ablate.report.answers import best, terminal
from ablate.report.foreign import study as foreign
from ablate.report.foreign.columns import Said
from ablate.report.foreign.words import quantity
from ablate.report.sections import card

Make = Callable[..., Analysis]
NOISE = (0.0013, -0.0007, 0.0004, -0.0011, 0.0009)


@pytest.fixture
def table(tmp_path: Path) -> Make:
    """Analyse a table given as its text."""

    def make(text: str, delta: float | None = None, **said: Any) -> Analysis:
        path = tmp_path / "runs.csv"
        path.write_text(text)
        return analyse(foreign.load(path, Said(**said), delta))

    return make


def grid(
    axes: Mapping[str, Sequence[str]],
    header: str = "seed,test_acc,val_acc",
    seeds: int = 3,
    row: Callable[[int, float], str] = lambda seed, value: f"{seed},{value:.4f},{value + 0.002:.4f}",
) -> str:
    """A table of every combination; the last level of the first axis is 3 points better."""
    first = next(iter(axes.values()))
    lines = [f"{','.join(axes)},{header}"]
    for number, levels in enumerate(itertools.product(*axes.values())):
        for seed in range(seeds):
            value = 0.8 + 0.03 * (levels[0] == first[-1]) + NOISE[(2 * number + seed) % 5] + 0.002 * seed
            lines.append(f"{','.join(levels)},{row(seed, value)}")
    return "\n".join(lines) + "\n"


AB = {"model": ["a", "b"], "wd": ["0", "1e-3"]}


def columns(analysis: Analysis) -> dict[str, str]:
    assert analysis.study.origin is not None
    return analysis.study.origin.columns


def notes(analysis: Analysis) -> str:
    assert analysis.study.origin is not None
    return "; ".join(analysis.study.origin.notes)


def test_a_row_per_run_gives_answers(table: Make) -> None:
    analysis = table(grid(AB))
    assert analysis.study.axes == {"model": ["a", "b"], "wd": ["0", "1e-3"]}
    assert analysis.study.plan.seeds == [0, 1, 2]
    assert {e.axis: str(e.verdict) for e in analysis.effects.axes}["model"] == "matters"
    top = best.best(analysis)
    assert top is not None
    assert top.name.startswith("b, wd=")
    assert (top.command, top.metric, top.chosen_by) == ("", "test_accuracy", "holdout accuracy")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (lambda s, v: f"{s},{v:.4f}", "test_acc is read as fractions"),
        (lambda s, v: f"{s},{100 * v:.2f}", "test_acc is read as percentages"),
        (lambda s, v: f"{s},{100 * v:.2f} %", "test_acc is read as percentages"),
    ],
)
def test_percent_and_fractions_are_told_apart_by_values(table: Make, row: Any, said: str) -> None:
    analysis = table(grid(AB, "seed,test_acc", row=row))
    assert said in notes(analysis)
    assert analysis.study.finished["test_accuracy"].between(0.79, 0.85).all()


def test_fractions_among_percentages_are_refused(table: Make) -> None:
    with pytest.raises(ValueError, match=r"test_acc holds 0.93 in row 2 and 93.1 in row 1, fractions and percentages"):
        table("m,seed,test_acc\na,0,93.1\na,1,0.93\nb,0,92.0\nb,1,91.5\n")
    # The twin: a run at 1 % has learnt nothing.
    analysis = table("m,seed,test_acc\na,0,93.1\na,1,1.0\nb,0,92.0\nb,1,91.5\n")
    assert analysis.study.finished["test_accuracy"].min() == 0.01


def test_a_comma_may_be_the_decimal_mark(table: Make) -> None:
    text = grid(AB, "seed,test_acc", row=lambda s, v: f"{s},{100 * v:.2f}")
    analysis = table(text.replace(",", ";").replace(".", ","))
    assert analysis.study.finished["test_accuracy"].between(0.79, 0.85).all()


def test_without_a_holdout_nothing_is_called_the_best(table: Make) -> None:
    analysis = table(grid(AB, "seed,test_acc", row=lambda s, v: f"{s},{v:.4f}"))
    assert best.best(analysis) is None
    assert columns(analysis)["holdout metric"] == "none: no combination is called the best"
    assert not any(line.startswith("Best") for line in terminal.lines(analysis))


def test_a_validation_set_alone_is_a_holdout_that_flatters(table: Make) -> None:
    analysis = table(grid(AB, "seed,val_acc", row=lambda s, v: f"{s},{v:.4f}"))
    assert analysis.study.plan.metric == "holdout_accuracy"
    assert any("both chooses the best combination and measures it" in sentence for sentence in analysis.caveats[""])


def test_the_best_of_all_epochs_is_named_as_such_and_avoided(table: Make) -> None:
    row = lambda s, v: f"{s},{v + 0.01:.4f},{v:.4f}"  # noqa: E731
    assert columns(table(grid(AB, "seed,best_test_acc,test_acc", row=row)))["metric"] == "test_acc"
    only = table(grid(AB, "seed,best_test_acc,train_loss", row=row))
    assert any("the best of each run's epochs" in sentence for sentence in only.caveats[""])


def test_what_differs_besides_the_axes_is_named(table: Make) -> None:
    lines = grid(AB).splitlines()
    cards = [
        "gpu,lr",
        *(
            f"{'A100' if n % 3 else 'V100'},{'0.1' if line.startswith('a') else '0.2'}"
            for n, line in enumerate(lines[1:])
        ),
    ]
    analysis = table("\n".join(f"{line},{more}" for line, more in zip(lines, cards, strict=True)))
    assert list(analysis.study.axes) == ["model", "wd"]
    assert analysis.study.confounded == ["gpu", "lr"]
    assert analysis.caveats["model"] == ["the levels differ in lr too"]
    assert "gpu differs between runs, and no axis decides it" in analysis.caveats[""]
    rows = dict(row for block in card.section(analysis).blocks for row in getattr(block, "rows", ()))
    assert rows["only the axes differ"] == "no: gpu, lr differ too"
    # The twin: without them nothing is named.
    assert table(grid(AB)).study.confounded == []
    assert "" not in table(grid(AB)).caveats


def test_a_name_for_each_combination_is_no_axis(table: Make) -> None:
    lines = grid(AB).splitlines()
    names = ["variant", *(f"{line.split(',')[0]}-{line.split(',')[1]}" for line in lines[1:])]
    analysis = table("\n".join(f"{name},{line}" for name, line in zip(names, lines, strict=True)))
    assert list(analysis.study.axes) == ["model", "wd"]
    assert "variant" in columns(analysis)["not used"]


def test_a_setting_drawn_at_random_is_no_axis(table: Make) -> None:
    lines = grid(AB).splitlines()
    rates = ["lr", *(f"{0.01 + 0.0137 * n:.5f}" for n in range(len(lines) - 1))]
    analysis = table("\n".join(f"{line},{rate}" for line, rate in zip(lines, rates, strict=True)))
    assert list(analysis.study.axes) == ["model", "wd"]
    assert columns(analysis)["differ, and are no axes"] == "lr"


def test_each_component_removed_alone_is_one_at_a_time(table: Make) -> None:
    cells = (("True", "True"), ("False", "True"), ("True", "False"))
    rows = [f"{a},{m},{s},{0.8 + 0.02 * (a == 'True') + NOISE[s]:.4f}" for a, m in cells for s in range(4)]
    plan = table("\n".join(["aug,mixup,seed,test_acc", *rows])).study.plan
    assert (plan.design, plan.baseline) == ("one_at_a_time", {"aug": "true", "mixup": "true"})
    assert table(grid({"aug": ["True", "False"], "mixup": ["True", "False"]})).study.plan.design == "grid"


def test_levels_that_are_equal_numbers_are_one(table: Make) -> None:
    text = "bs,seed,test_acc\n64,0,.80\n64.0,1,.81\n128,0,.82\n128.0,1,.83\n"
    assert table(text).study.axes == {"bs": ["64", "128"]}


@pytest.mark.parametrize("header", ["random_seed", "trainer.seed", "fold", "config/seed", "rep"])
def test_what_repeats_a_combination_has_many_names(table: Make, header: str) -> None:
    analysis = table(grid(AB, f"{header},test_acc,val_acc"))
    assert analysis.study.plan.seeds == [0, 1, 2]
    assert list(analysis.study.axes) == ["model", "wd"]


def test_without_seeds_runs_are_numbered_and_that_is_said(table: Make) -> None:
    analysis = table(grid(AB, "test_acc", row=lambda _, v: f"{v:.4f}"))
    assert analysis.study.plan.seeds == [0, 1, 2]
    assert "no column holds a seed" in notes(analysis)


def test_columns_can_be_said(table: Make) -> None:
    text = grid(AB, "trial_id,score_a,score_b")
    with pytest.raises(ValueError, match="no column is called like a result; say which with --metric COLUMN"):
        table(text)
    analysis = table(text, 0.01, metric="score_a", holdout="score_b", seed="trial_id")
    assert columns(analysis)["metric"] == "score_a"
    assert METRICS["test_score"].unit == "score_a"
    top = best.best(analysis)
    assert top is not None
    assert top.name.startswith("b, ")


def test_axes_that_are_said_leave_the_others_as_what_differs(table: Make) -> None:
    with pytest.raises(
        ValueError, match=r"have the same model=a, seed=0 \(they differ in wd\); delete one, or say with"
    ):
        table(grid(AB), axes=("model",))


def test_a_loss_needs_a_smallest_difference(table: Make) -> None:
    text = grid(AB, "seed,test_loss,val_loss")
    with pytest.raises(ValueError, match=r"test_loss is in nats: say how large .* with --delta N"):
        table(text)
    top = best.best(table(text, 0.01))
    assert top is not None
    assert top.name.startswith("a, ")
    assert "test loss" in best.in_words(top)


def test_a_run_without_a_result_diverged_or_failed(table: Make) -> None:
    runs = table("m,seed,test_acc\na,0,0.93\na,1,nan\nb,0,0.92\nb,1,\n").study.runs
    assert runs["state"].tolist() == ["DONE", "DIVERGED", "DONE", "FAILED"]


def test_a_row_per_epoch_is_read_as_its_last(table: Make) -> None:
    rows = [f"{m}{s},{m},{s},{e},{0.5 + 0.1 * e + 0.01 * s}" for m in "ab" for s in range(2) for e in range(3)]
    analysis = table("\n".join(["name,m,seed,epoch,test_acc", *rows]))
    assert analysis.study.finished["test_accuracy"].tolist() == pytest.approx([0.7, 0.71, 0.7, 0.71])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is no table with a header"),
        ("m,test_acc\n", "has no row below its header"),
        ("m,test_acc\na,93.1 ± 0.2\nb,92.0 ± 0.3\n", "no column is called like a result"),
        ("m,m,test_acc\na,b,1\n", "two columns called 'm'"),
        ("m,test_acc\na,1,2,3\n", "row 1 has 4 cells, and the header 2"),
        ("m,test_acc\na,930\nb,92\n", "test_acc of row 1 is 930, which is above 100 %"),
        ("m,test_acc\na,-0.5\nb,0.9\n", "test_acc of row 1 is -0.5, which is below 0"),
        ("m,seed,wd,test_acc\na,0,1,.93\na,0,1,.94\nb,1,1,.91\n", "row 1 and row 2 have the same m=a, seed=0"),
    ],
)
def test_a_table_that_cannot_be_meant_is_one_sentence(table: Make, text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        table(text)
    assert "\n" not in str(caught.value)


def test_a_column_that_is_not_there_is_named_with_the_nearest(table: Make) -> None:
    with pytest.raises(ValueError, match=r"--axes modle: .* has no such column; did you mean model\?"):
        table(grid(AB), axes=("modle",))
    with pytest.raises(ValueError, match=r"--metric model: 'a' in .* is no number"):
        table(grid(AB), metric="model")


def test_options_for_columns_are_for_tables(tmp_path: Path) -> None:
    from tests.report.made_up import GRID, make

    with pytest.raises(ValueError, match=r"--axes says what a column of a table is, and .* is a study of ablate"):
        command.main([str(make(tmp_path / "study", GRID)), "--axes", "alpha"])
    (tmp_path / "a.csv").write_text(grid(AB))
    with pytest.raises(ValueError, match="give runs that others trained as one table"):
        command.main([str(tmp_path / "a.csv"), str(tmp_path / "a.csv")])


def test_what_moves_a_terminals_cursor_is_left_out(table: Make) -> None:
    assert table(grid({"m": ["a\x1b[2J", "b"]})).study.axes == {"m": ["a [2J", "b"]}


@pytest.mark.parametrize(
    ("name", "part", "what"),
    [
        ("test/acc", "test", "accuracy"), ("valAccuracy", "holdout", "accuracy"), ("eval_top1", "eval", "accuracy"),
        ("Acc@1", "", "accuracy"), ("val_top-5", "holdout", "top5_accuracy"), ("dev_f1_macro", "holdout", "macro_f1"),
        ("test_cross_entropy", "test", "loss"), ("validation balanced accuracy", "holdout", "balanced_accuracy"),
        ("mIoU", "", "miou"), ("test_acc_cifar10", "test", "accuracy"),
    ],
)  # fmt: skip
def test_a_result_is_known_by_its_name(name: str, part: str, what: str) -> None:
    found = quantity(name)
    assert found is not None
    assert (found.part, found.what) == (part, what)


@pytest.mark.parametrize(
    "name", ["loss_weight", "grad_acc_steps", "lr", "label_smoothing", "test_size", "warmup", "map_dim"]
)
def test_a_setting_is_no_result(name: str) -> None:
    assert quantity(name) is None


def test_a_value_written_in_two_ways_does_not_differ(table: Make) -> None:
    lines = grid(AB).splitlines()
    more = ["epochs,amp", *("30,True" if n % 2 else "30.0,true" for n in range(len(lines) - 1))]
    study = table("\n".join(f"{line},{cell}" for line, cell in zip(lines, more, strict=True))).study
    assert study.confounded == []
    assert {"epochs", "amp"} <= study.plan.constants.keys()


def test_the_answers_as_markdown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_text(grid({"model": ["a", "b"]}))
    assert command.main([str(tmp_path / "a.csv"), "--md"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("**a.csv**: 6 of 6 runs finished")
    assert "\n| model | **matters** | b | \\+2.97" in printed
    assert "read as" not in printed
    assert (tmp_path / "a-report" / "report.html").exists()
    with pytest.raises(ValueError, match="--md prints the answers of one study"):
        command.main([str(tmp_path / "a.csv"), "--md", "--json"])


def test_a_table_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no file .*runs\.csv"):
        command.main([str(tmp_path / "runs.csv")])


def test_trials_of_optuna_are_read_by_their_parameters(table: Make) -> None:
    head = "number,value,datetime_start,datetime_complete,duration,params_lr,params_opt,state"
    rows = [f"{n},{0.8 + 0.02 * (n % 2) + NOISE[n % 5]},2026,2026,0 days,{lr},{opt},COMPLETE"
            for n, (_, lr, opt) in enumerate(itertools.product(range(3), ("0.1", "0.2"), ("sgd", "adam")))]  # fmt: skip
    analysis = table("\n".join([head, *rows]), 0.01, metric="value")
    assert analysis.study.axes == {"lr": ["0.1", "0.2"], "opt": ["sgd", "adam"]}
    # The twin: a table of others counts parameters so.
    text = grid({"model": ["a", "b"]}, "seed,test_acc,params_m", row=lambda s, v: f"{s},{v:.4f},11.7")
    assert "params_m" in columns(table(text))["not used"]

"""Training: it learns, it repeats to the bit, and nothing but the seed and the settings matters."""

import itertools
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from ablate.data.datasets import load
from ablate.train import inputs, loop
from ablate.train.device import choose_device
from ablate.train.evaluate import confusion, evaluate, filled, to_network
from ablate.train.loop import Diverged, Epoch, final_metrics, train
from ablate.train.model import build, on_cpu, weights_sha256
from tests.given import TINY, config_of, some_images
from tests.train.training import CPU, FAST, LEVELS, MORE, trained


def test_it_beats_chance_by_a_wide_margin() -> None:
    config = config_of(*TINY, "optimizer=sgd", "trainer.epochs=2")
    epochs: list[Epoch] = []
    train(config, load(config.data), CPU, epochs.append)
    last = epochs[-1].row
    assert last["test_accuracy"] > 0.7  # chance is 0.1
    assert last["train_loss"] < epochs[0].row["train_loss"] < math.log(10)
    assert last["test_accuracy"] == (epochs[-1].test.logits.argmax(1).numpy() == load(config.data).test_labels).mean()


DROPOUT = ("head=mlp512x2", "augment=flip_crop", "trainer.epochs=2")


def test_training_repeats_bit_for_bit_whatever_ran_before() -> None:
    first = trained(*DROPOUT)
    torch.manual_seed(999)  # whatever state other code leaves
    np.random.seed(999)
    trained("optimizer=sgd", "seed=5")
    assert trained(*DROPOUT) == first


@pytest.mark.slow
@pytest.mark.parametrize(
    "override", ["seed=1", "head.dropout=0.3", "augment=flip", "optimizer.lr=0.002", "data.split_seed=1"]
)
def test_what_is_part_of_the_experiment_changes_the_bits(override: str) -> None:
    base = [o for o in DROPOUT if o.partition("=")[0] != override.partition("=")[0]]
    assert trained(*base, override) != trained(*DROPOUT)


def test_randomness_that_keeps_a_state_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin of the test above: dropout whose state goes on from run to run does not repeat."""
    state = itertools.count()
    monkeypatch.setattr(loop, "reseed", lambda *_: torch.manual_seed(next(state)))
    assert trained(*DROPOUT) != trained(*DROPOUT)


def test_how_often_a_run_is_evaluated_does_not_change_it() -> None:
    def evaluates(epoch: Epoch) -> None:
        torch.rand(7)  # as any code in between might

    assert trained(*DROPOUT, on_epoch=evaluates) == trained(*DROPOUT)


def test_the_same_seed_sees_the_same_images_under_another_optimizer(monkeypatch: pytest.MonkeyPatch) -> None:
    def seen(*overrides: str) -> list[torch.Tensor]:
        batches: list[torch.Tensor] = []
        original = inputs.Pixels.batch
        monkeypatch.setattr(inputs.Pixels, "batch", lambda self, i: batches.append((b := original(self, i)).x) or b)
        trained("augment=flip_crop", *overrides)
        monkeypatch.setattr(inputs.Pixels, "batch", original)
        return batches

    one, other, third = seen(), seen("optimizer=sgd", "head=mlp512"), seen("seed=1")
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(one, third, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("level", [*LEVELS, *MORE])
def test_every_level_of_every_axis_trains(level: str) -> None:
    """Two steps or more on real images."""
    rows: list[dict[str, float]] = []
    config = config_of(*TINY, "trainer.epochs=1", *(() if "batch" in level else ("batch_size=b32",)), level)
    images = some_images(train=max(320, math.ceil(2 * config.batch_size.size / 0.9)), test=50)
    train(config, images, CPU, lambda epoch: rows.append(epoch.row))
    assert len(rows) == 1
    assert all(math.isfinite(value) for value in rows[0].values())
    assert rows[0]["train_loss"] < 3 * math.log(10)


@pytest.mark.parametrize(
    "level",
    [*(pytest.param(name, marks=pytest.mark.slow) for name in ("resnet18", "effnet_b0")), "effnet_lite0_pretrained"],
)
def test_a_real_backbone_takes_its_steps(level: str) -> None:
    config = config_of(f"backbone={level}", "batch_size=b32", "trainer.epochs=1")
    rows: list[dict[str, float]] = []
    train(config, some_images(train=80, test=20), CPU, lambda epoch: rows.append(epoch.row))
    assert math.isfinite(rows[0]["train_loss"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "augment", ["color", "trivial_augment", "random_erasing", "cutout", "mixup", "cutmix", "mixup_cutmix", "strong"]
)
def test_every_augmentation_changes_what_is_seen_and_repeats_to_the_bit(augment: str) -> None:
    assert trained(f"augment={augment}") == trained(f"augment={augment}") != trained("augment=flip_crop")


def test_label_smoothing_is_of_the_training_loss_alone() -> None:
    rows: list[dict[str, float]] = []
    for smoothing in (0.0, 0.5):
        config = config_of(*FAST, f"trainer.label_smoothing={smoothing}", "optimizer.lr=0")
        train(config, some_images(), CPU, lambda epoch: rows.append(epoch.row))
    assert rows[0]["train_loss"] != rows[1]["train_loss"]
    assert rows[0]["train_accuracy"] == rows[1]["train_accuracy"]


def norms_of_steps(clip: str, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The norm of all gradients together at each step."""
    seen: list[float] = []
    original = torch.optim.SGD.step

    def step(optimizer: torch.optim.SGD, *arguments: object) -> object:
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"]]
        seen.append(float(torch.nn.utils.get_total_norm(gradients)))
        return original(optimizer, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.SGD, "step", step)
        trained("optimizer=sgd", f"trainer.clip_norm={clip}")
    return seen


def test_gradients_are_clipped_together(monkeypatch: pytest.MonkeyPatch) -> None:
    free, clipped = norms_of_steps("null", monkeypatch), norms_of_steps("0.5", monkeypatch)
    assert min(free) > 0.5
    assert clipped == pytest.approx([0.5] * len(free), rel=1e-3)


def test_the_moving_average_is_what_is_evaluated_and_returned() -> None:
    """By hand from the weights after every step; BatchNorm's statistics are averaged too."""
    steps: list[dict[str, torch.Tensor]] = []
    config = config_of(*FAST, "optimizer=sgd", "trainer.ema=0.8")
    epochs: list[Epoch] = []
    original = loop.Average.update_parameters

    def update(averaged: torch.nn.Module, model: torch.nn.Module) -> None:
        steps.append(on_cpu(model))  # type: ignore[arg-type]
        steps[-1] = {name: tensor.clone() for name, tensor in steps[-1].items()}
        original(averaged, model)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Average, "update_parameters", update)
        result = train(config, some_images(), CPU, epochs.append)
    for name, tensor in on_cpu(result).items():
        expected = steps[0][name].double()
        for step in steps[1:]:
            expected = 0.8 * expected + 0.2 * step[name].double()
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor.double(), expected, rtol=1e-4, atol=1e-5, msg=name)
    pictures = torch.from_numpy(some_images().test_images)
    labels = torch.from_numpy(some_images().test_labels)
    again = evaluate(result.eval(), [to_network(pictures, True)], labels)
    assert torch.equal(again.logits, epochs[-1].test.logits)
    assert again.accuracy == epochs[-1].row["test_accuracy"]


def test_mixed_precision_is_used_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def types(precision: str) -> set[torch.dtype]:
        seen = set()
        with monkeypatch.context() as patch:
            patch.setattr(
                torch.nn.functional,
                "conv2d",
                lambda *a, f=torch.nn.functional.conv2d, **k: seen.add((r := f(*a, **k)).dtype) or r,
            )
            original = torch.nn.Conv2d._conv_forward
            patch.setattr(torch.nn.Conv2d, "_conv_forward", lambda *a: seen.add((r := original(*a)).dtype) or r)
            trained(f"trainer.precision={precision}")
        return seen

    assert types("fp32") == {torch.float32}
    assert types("bf16") == {torch.bfloat16}


@pytest.mark.slow
def test_fp16_scales_the_loss_and_still_learns() -> None:
    rows: list[dict[str, float]] = []
    config = config_of(*TINY, "batch_size=b32", "optimizer=sgd", "trainer.epochs=2", "trainer.precision=fp16")
    train(config, some_images(train=600), CPU, lambda epoch: rows.append(epoch.row))
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
@pytest.mark.filterwarnings("ignore")  # of torch's own compiler
def test_what_was_compiled_is_kept_for_later_runs_and_trains_alike(tmp_path: Path) -> None:
    rows: dict[bool, dict[str, float]] = {}
    for compiled in (False, True):
        words = ("backbone.freeze=true", f"trainer.compile={compiled}", f"data.cache={tmp_path}")
        train(config_of(*FAST, *words), some_images(), CPU, lambda epoch, c=compiled: rows.update({c: epoch.row}))  # type: ignore[misc]
    assert rows[True]["train_loss"] == pytest.approx(rows[False]["train_loss"], rel=1e-3)
    assert list((tmp_path / "compiled").rglob("*.so"))


@pytest.mark.fault(11)
def test_a_huge_learning_rate_diverges_in_a_named_epoch() -> None:
    rows: list[Epoch] = []
    with pytest.raises(Diverged, match=r"in epoch 1|after epoch 1"):
        trained("optimizer=sgd", "optimizer.lr=1e9", on_epoch=rows.append)
    assert len(rows) == 1  # the epoch that diverged is on record


@pytest.mark.fault(66)
def test_a_finite_but_senseless_loss_is_divergence_too() -> None:
    model = build(config_of(*TINY).backbone, config_of().head, 10, 0)
    loop.check_convergence(model, {"train_loss": 22.9, "holdout_loss": 1.0, "test_loss": 1.0, "epoch": 3}, classes=10)
    with pytest.raises(Diverged, match=r"the test loss is inf in epoch 3"):
        loop.check_convergence(
            model, {"train_loss": 1.0, "holdout_loss": 1.0, "test_loss": math.inf, "epoch": 3}, classes=10
        )
    with pytest.raises(Diverged, match=r"23\.1 in epoch 3, above 23"):
        loop.check_convergence(
            model, {"train_loss": 23.1, "holdout_loss": 1.0, "test_loss": 1.0, "epoch": 3}, classes=10
        )


@pytest.mark.fault(33)
def test_a_batch_larger_than_the_data_is_a_clear_error() -> None:
    with pytest.raises(ValueError, match=r"batch_size\.size=512 is larger than the \d+ training images"):
        trained("batch_size.size=512")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_device_that_is_not_there_is_a_clear_error() -> None:
    assert choose_device("auto").type in ("cpu", "mps")
    with pytest.raises(ValueError, match=r"trainer\.device=cuda is not available here"):
        choose_device("cuda")


def test_final_means_after_the_last_epoch_and_the_best_stands_beside_it() -> None:
    def row(epoch: int, holdout: float, test: float) -> dict[str, float]:
        names = ("train_loss", "train_accuracy", "holdout_loss", "test_loss")
        return {"epoch": epoch, "holdout_accuracy": holdout, "test_accuracy": test} | dict.fromkeys(names, 0.0)

    metrics = final_metrics([row(1, 0.8, 0.7), row(2, 0.9, 0.6), row(3, 0.9, 0.99), row(4, 0.5, 0.4)])
    assert metrics["test_accuracy"] == 0.4
    assert (metrics["best_holdout_epoch"], metrics["best_holdout_test_accuracy"]) == (2, 0.6)


def test_evaluation_counts_every_image_once_and_leaves_no_trace() -> None:
    images = some_images(test=100)
    model = build(config_of(*TINY).backbone, config_of().head, 10, 0)
    before = weights_sha256(model.state_dict())
    pictures, labels = torch.from_numpy(images.train_images), torch.from_numpy(images.train_labels)
    whole = evaluate(model.eval(), [to_network(some, True) for some in pictures.split(250)], labels)
    assert weights_sha256(model.state_dict()) == before
    counts = confusion(whole.logits, labels, 10)
    assert int(counts.sum()) == 300
    assert counts.sum(1).tolist() == np.bincount(images.train_labels, minlength=10).tolist()
    assert whole.accuracy == pytest.approx(int(counts.trace()) / 300)
    padded = [to_network(pictures[some], True) for some in filled(torch.arange(300), 250).split(250)]
    assert [len(batch) for batch in padded] == [250, 250]  # as on CUDA, where each shape costs a graph
    again = evaluate(model, padded, labels)
    torch.testing.assert_close(again.logits, whole.logits)
    assert again.accuracy == whole.accuracy
    assert torch.equal(filled(torch.arange(250), 250), torch.arange(250))

"""The same work for ours and for its peers: images, initial weights, and how many steps and evaluations there are."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import timm
import torch
from hydra import compose, initialize_config_dir
from torch import Tensor
from torchvision.datasets import ImageFolder

import ablate.commands.hydra_app  # noqa: F401  registers the schema
from ablate.config.compose import config_folder, from_omegaconf
from ablate.config.schema import Config
from ablate.data import split
from ablate.train.model import Classifier, build, on_cpu, weights_sha256
from benchmarks.loader import SIZE, write_images
from benchmarks.peers.recipe import WEIGHT_DECAY

BATCH = 64
SEEDS, RATES = (0, 1, 2, 3), ("0.1", "0.01")
Runs = tuple[tuple[str, int], ...]  # learning rate and seed: of two such runs none can share anything with another
RUNS: Runs = tuple((rate, seed) for rate in RATES for seed in SEEDS)


@dataclass(frozen=True)
class Work:
    """One study, and where its parts lie: ours reads `images`, the peers `split` and `initial`."""

    model: str
    classes: int
    epochs: int
    folder: Path
    steps: int  # of one run
    evaluated: tuple[int, int]  # holdout and test images, in each epoch
    initial_sha256: frozenset[str]  # of our networks as they begin
    runs: Runs = RUNS

    @property
    def images(self) -> Path:
        return self.folder / "images"

    @property
    def split(self) -> Path:
        return self.folder / "split"

    @property
    def initial(self) -> Path:
        return self.folder / "initial"

    def words(self) -> list[str]:
        """The study on our command line."""
        return [*common(self.model, self.epochs, self.images), *self.sweep("optimizer.lr")]

    def sweep(self, lr: str) -> list[str]:
        """The runs as Hydra sweeps over them, by the learning rate's name."""
        rates, seeds = (dict.fromkeys(map(str, values)) for values in zip(*self.runs, strict=True))
        return [f"{lr}={','.join(rates)}", f"seed={','.join(seeds)}"]

    def config(self) -> Config:
        return config_of(common(self.model, self.epochs, self.images))


def common(model: str, epochs: int, images: Path) -> list[str]:
    return [
        "data=folder", f"data.path={images}", f"data.size={SIZE}", "backbone=timm", f"backbone.name={model}",
        f"trainer.epochs={epochs}", "trainer.device=cpu", "trainer.channels_last=true", "optimizer=sgd",
        "scheduler=none", f"batch_size=b{BATCH}", "augment=flip_crop", "weight_decay=wd5e-4",
    ]  # fmt: skip


def config_of(words: list[str]) -> Config:
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return from_omegaconf(compose("config", words))


def prepare(folder: Path, model: str, classes: int, each: int, each_val: int, epochs: int, runs: Runs = RUNS) -> Work:
    """Write images, their split, and initial weights into the folder.

    Ours holds images out and evaluates them as well as the test images. So the peers train on what is left, and
    evaluate both.
    """
    images = folder / "images"
    write_images(images, classes, each, each_val)
    config = config_of(common(model, epochs, images))
    assert abs(config.weight_decay.value - WEIGHT_DECAY) < 1e-12
    files = ImageFolder(str(images / "train"))
    ranks = split.ranks(f"{config.data.split_seed}/{i}" for i in range(len(files.targets)))
    is_held = split.cut(
        np.array(files.targets), ranks, None, split.Share(config.data.holdout, files.classes, "the holdout")
    )
    train, held = np.flatnonzero(~is_held), np.flatnonzero(is_held)
    tested = sorted((images / "val").rglob("*.jpg"))
    for part, paths in (
        ("train", [Path(files.samples[i][0]) for i in train]),
        ("val", [*(Path(files.samples[i][0]) for i in held), *tested]),
    ):
        for path in paths:
            place = folder / "split" / part / path.parent.name / f"{path.parent.parent.name}_{path.name}"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path)
    (folder / "initial").mkdir()
    hashes = set()
    for seed in {seed for _, seed in runs}:
        built = build(config.backbone, config.head, classes, seed)
        hashes.add(weights_sha256(on_cpu(built)))
        torch.save(in_timms_names(built, model), folder / "initial" / f"{seed}.pt")
    steps = epochs * (len(train) // BATCH)
    return Work(model, classes, epochs, folder, steps, (len(held), len(tested)), frozenset(hashes), runs)


def in_timms_names(ours: Classifier, model: str) -> dict[str, Tensor]:
    """The weights of our network with a linear head, as timm's network of that name has them."""
    expects = timm.get_pretrained_cfg(model)
    assert expects is not None
    state = on_cpu(ours)
    return {
        name.removeprefix("backbone.").replace("head.0.", f"{expects.classifier}."): value
        for name, value in state.items()
        if name not in ("mean", "std")
    }

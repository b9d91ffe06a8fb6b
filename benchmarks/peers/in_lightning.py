"""A Lightning Trainer under Hydra's multirun, as many a template has it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
import lightning
import torch
import torch.nn.functional as F
from hydra.core.config_store import ConfigStore
from omegaconf import MISSING
from torch import Tensor

from benchmarks.peers.recipe import loaders, network, optimizer


@dataclass
class Config:
    data: str = MISSING
    initial: str = MISSING  # a folder with a file per seed
    model: str = MISSING
    lr: float = MISSING
    seed: int = MISSING
    epochs: int = MISSING
    batch: int = MISSING
    classes: int = MISSING
    workers: int = MISSING


class Module(lightning.LightningModule):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.network = network(config.model, config.classes, Path(config.initial) / f"{config.seed}.pt")
        self.seen = 0

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        x, y = batch
        loss = F.cross_entropy(self.network(x.to(memory_format=torch.channels_last)), y)
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        x, y = batch
        logits = self.network(x.to(memory_format=torch.channels_last))
        self.seen += len(y)
        self.log_dict({"loss": F.cross_entropy(logits, y), "accuracy": (logits.argmax(1) == y).float().mean()})

    def configure_optimizers(self) -> Any:
        return optimizer(self.network, self.config.lr)


ConfigStore.instance().store("config", Config)


@hydra.main(version_base="1.3", config_name="config", config_path=None)
def main(config: Config) -> None:
    torch.set_num_threads(1)
    lightning.seed_everything(config.seed, verbose=False)
    trainer = lightning.Trainer(
        accelerator="cpu", devices=1, max_epochs=config.epochs, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    module = Module(config)
    trainer.fit(module, *loaders(Path(config.data), config.model, config.batch, config.workers))
    print(f"steps {trainer.global_step} evaluated {module.seen}", flush=True)


if __name__ == "__main__":
    main()

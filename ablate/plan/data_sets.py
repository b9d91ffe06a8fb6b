"""The data sets of a plan, each read once, and whether a run fits the one that it is to be trained on."""

from ablate.config.checks import NotRead
from ablate.config.schema import Config, DataConfig
from ablate.data import datasets
from ablate.data.cache import Images


class DataSets:
    """What is read of each configuration of the data."""

    def __init__(self) -> None:
        self.read: dict[str, Images] = {}
        self.trained: dict[str, int] = {}  # images of an epoch, the holdout left out

    def images(self, config: DataConfig) -> Images:
        """The images. Raises ValueError like datasets.load."""
        key = repr(config)
        if key not in self.read:
            self.read[key] = datasets.load(config)
        return self.read[key]

    def fingerprint(self, config: DataConfig) -> str:
        """The hash of the images' content. Raises ValueError like datasets.load, and for a setting that is not read."""
        images = self.images(config)
        for name in ("holdout", "split_seed") if images.held is not None else ():
            if getattr(config, name) != getattr(DataConfig, name):
                raise NotRead(
                    f"data.{name}",
                    f"data.{name}={getattr(config, name)} has no effect: {config.path} has its own holdout (its "
                    "validation part); remove it",
                )
        return images.fingerprint

    def check(self, config: Config) -> None:
        """Raise ValueError where a run cannot be trained on its images."""
        data, size, key = config.data, config.batch_size.size, repr(config.data)
        images = self.images(data)
        if key not in self.trained:
            self.trained[key] = len(datasets.holdout_split(images, data)[0])
        if size > self.trained[key]:
            raise ValueError(
                f"batch_size.size={size} is larger than the {self.trained[key]} images of an epoch "
                f"({len(images.train_labels)} training images without the holdout), so no batch would be full; "
                f"use {self.trained[key]} or less"
            )

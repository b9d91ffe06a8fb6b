"""The network of a finished run, ready to be used: weights, preprocessing and class names."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ablate.config.compose import read_config
from ablate.data.pictures import earlier
from ablate.data.pictures.decode import Decoding, decode, squared
from ablate.data.pictures.viewed import as_shown
from ablate.records.record import State
from ablate.records.run_folder import RunFolder
from ablate.train.evaluate import EVALUATION_BATCH, to_network
from ablate.train.model import Classifier, build

Picture = str | Path | Image.Image | NDArray[np.uint8]


@dataclass(frozen=True)
class TrainedModel:
    """A network in evaluation mode. Scaling to its resolution and normalisation are part of the network."""

    network: Classifier
    class_names: tuple[str, ...]
    decoding: Decoding  # how the pictures that it was trained on were read, and their side in pixels
    channels_last: bool

    @property
    def size(self) -> int:
        """Pixels; the side of the square images that the network was trained on."""
        return self.decoding.size

    def preprocess(self, images: Sequence[Picture]) -> Tensor:
        """Images as the network takes them: (N, 3, size, size), uint8.

        An image is a file's path, a Pillow image or an array (H, W, 3) of uint8. It is read by the rules that the run's
        own pictures were read by, its short side scaled to `size` and its centre cropped. Raises ValueError for a file
        that cannot be read as an image, and for an array of another shape or type.
        """
        arrays = np.stack([self._array(image) for image in images])
        return to_network(torch.from_numpy(arrays), self.channels_last)

    @torch.inference_mode()
    def probabilities(self, images: Sequence[Picture]) -> NDArray[np.float32]:
        """The probability of each class, (N, classes). Raises as preprocess."""
        device = self.network.mean.device
        parts = [images[start : start + EVALUATION_BATCH] for start in range(0, len(images), EVALUATION_BATCH)]
        found = [self.network(self.preprocess(part).to(device)).float().softmax(1).cpu() for part in parts]
        return torch.cat(found).numpy()

    def predict(self, images: Sequence[Picture]) -> list[str]:
        """The most probable class of each image, by name. Raises as preprocess."""
        return [self.class_names[number] for number in self.probabilities(images).argmax(1)]

    def _array(self, image: Picture) -> NDArray[np.uint8]:
        if isinstance(image, str | Path):
            return decode(Path(image), self.decoding)
        if isinstance(image, np.ndarray):
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                raise ValueError(f"an image must be (H, W, 3) of uint8, not {image.shape} of {image.dtype}")
            image = Image.fromarray(image)
        if self.decoding.rules == earlier.RULES:
            return squared(earlier.in_rgb(image), self.decoding.size)
        return squared(as_shown(image, self.decoding.background)[0], self.decoding.size)


def load_model(folder: RunFolder, device: str = "cpu") -> TrainedModel:
    """The network of a finished run, from its folder alone.

    Raises ValueError when the run is not DONE, when its weights were not kept, or when they cannot be read.
    """
    record = folder.read()
    if record.state != State.DONE or record.data is None:
        raise ValueError(f"{folder.path} is {record.state}, not DONE: it has no final weights")
    if not folder.weights.exists():
        raise ValueError(
            f"{folder.path} kept no weights; trainer.keep_weights=all keeps those of every run, =best those of the "
            "study's best run"
        )
    config = read_config(folder.config)
    backbone = dataclasses.replace(config.backbone, pretrained=False, weights=None)  # the run's own come right after
    network = build(backbone, config.head, len(record.data.classes), config.seed, config.data.resolution)
    try:
        network.load_state_dict(load_file(folder.weights))
    except (SafetensorError, OSError, RuntimeError) as error:
        raise ValueError(f"{folder.weights} cannot be used: {' '.join(str(error).split())[:200]}") from None
    layout = torch.channels_last if config.trainer.channels_last else torch.contiguous_format
    network.to(device=device, memory_format=layout)  # type: ignore[call-overload]
    decoding = Decoding(config.data.size, config.data.background, record.data.rules)
    return TrainedModel(network.eval(), tuple(record.data.classes), decoding, config.trainer.channels_last)

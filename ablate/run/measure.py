"""What runs of a kind would cost, from a few steps of the real training loop on a few real images."""

import dataclasses
import math
import tempfile

import numpy as np

from ablate.config.schema import Config
from ablate.data import datasets
from ablate.data.cache import Images
from ablate.plan.cost import Cost
from ablate.train.device import choose_device
from ablate.train.evaluate import EVALUATION_BATCH
from ablate.train.graph import WARM
from ablate.train.loop import Epoch, train
from ablate.train.micro_batch import give_back, is_out_of_memory, keep_freed_memory, peak, watch_peak

# (epochs, steps of each); the last epoch is timed, those before warm up. Every shape of batch occurs in each epoch, so
# that on CUDA all graphs are recorded by then. There, three steps would be short next to the start of an epoch.
ON_CUDA, ELSEWHERE = (WARM + 2, 20), (2, 3)
TEST_IMAGES = EVALUATION_BATCH
WRITTEN = 200_000  # bytes of a run's texts and TensorBoard's pictures, more or less, whatever it trains


def measure(config: Config) -> Cost:
    """Train a few epochs of a few steps, and scale to the whole data. Raises ValueError like train.

    Computing the features of a frozen backbone is not part of it: that happens once for all runs.
    """
    images = datasets.load(config.data)
    device = choose_device(config.trainer.device)
    cost = Cost(device=str(device))
    epochs, steps = ON_CUDA if device.type == "cuda" else ELSEWHERE
    rows: list[dict[str, float]] = []

    def on_epoch(epoch: Epoch) -> None:
        rows.append(epoch.row)

    give_back()  # what the kind before this one left
    keep_freed_memory()
    watch_peak(device)
    with tempfile.TemporaryDirectory() as cache:  # what is computed from part of the images is of no use later
        trainer = dataclasses.replace(config.trainer, epochs=epochs, steps=None)
        some = dataclasses.replace(config, trainer=trainer, data=dataclasses.replace(config.data, cache=cache))
        few = part_of(images, config.batch_size.size, config.data.holdout, steps)
        try:
            model = train(some, few, device, on_epoch)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            cost.out_of_memory = True
            return cost
    trained, held = (len(index) for index in datasets.holdout_split(few, config.data))
    shown = trained // config.batch_size.size * config.batch_size.size
    per_image = 1 / rows[-1]["images_per_second"]
    evaluation = max(0.0, rows[-1]["seconds"] - shown * per_image) / (held + len(few.test_labels))
    all_trained, all_held = (len(index) for index in datasets.holdout_split(images, config.data))
    whole = all_trained * per_image + (all_held + len(images.test_labels)) * evaluation
    cost.seconds_per_epoch.append(whole)
    if (most := peak(device)) is not None:
        cost.memory.append(most)
    predictions = len(images.test_labels) * len(images.classes) * 2  # float16
    weights = sum(t.nbytes for t in model.state_dict().values()) if config.trainer.keep_weights == "all" else 0
    cost.disk.append(predictions + weights + WRITTEN)
    return cost


def part_of(images: Images, batch: int, holdout: float, steps: int) -> Images:
    """The first images of every class: enough for a few steps, the holdout aside."""
    classes = len(images.classes)
    each = max(3, math.ceil(steps * batch / (1 - holdout) / classes) + 1)
    index = np.sort(np.concatenate([np.flatnonzero(images.train_labels == label)[:each] for label in range(classes)]))
    return dataclasses.replace(
        images,
        train_images=images.train_images[index],
        train_labels=images.train_labels[index],
        test_images=images.test_images[:TEST_IMAGES],
        test_labels=images.test_labels[:TEST_IMAGES],
        held=None,  # which few of every class may all be in
        groups=None,
        fingerprint=f"{len(index)} of {images.fingerprint}",
    )

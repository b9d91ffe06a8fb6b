"""Augmentation: the reference's pixels, and the same draws whatever the batch."""

import pytest
import torch
from torchvision.transforms.v2 import functional as reference

from ablate import augment
from ablate.config import AugmentConfig

CPU = torch.device("cpu")


def batch(count: int = 16, size: int = 32) -> torch.Tensor:
    return torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_crop_and_flip_are_torchvisions_on_the_same_draw() -> None:
    images = batch()
    draws = augment.draw(AugmentConfig(flip=True, crop=0.125), len(images), 32, seed=3, epoch=2)
    assert 0 < int(draws.flip.sum()) < len(images)
    assert len(set(draws.top.tolist())) > 3
    ours = augment.apply(images, draws)
    for i, image in enumerate(images.permute(0, 3, 1, 2)):
        expected = reference.crop(reference.pad(image, [4]), int(draws.top[i]), int(draws.left[i]), 32, 32)
        if draws.flip[i]:
            expected = reference.horizontal_flip(expected)
        assert torch.equal(ours[i].permute(2, 0, 1), expected)


def test_no_augmentation_changes_nothing() -> None:
    images = batch()
    assert torch.equal(augment.apply(images, augment.draw(AugmentConfig(), 16, 32, 0, 1)), images)


def test_an_image_is_augmented_alike_whatever_its_batch() -> None:
    images = batch()
    draws = augment.draw(AugmentConfig(flip=True, crop=0.125), 16, 32, seed=0, epoch=1)
    whole = augment.apply(images, draws)
    mixed = torch.tensor([5, 2, 11])
    assert torch.equal(augment.apply(images[mixed], draws.of(mixed, CPU)), whole[mixed])


def test_draws_depend_on_seed_and_epoch_and_each_kind_has_its_own_stream() -> None:
    both, only = AugmentConfig(flip=True, crop=0.125), AugmentConfig(flip=True)
    first = augment.draw(both, 500, 32, seed=0, epoch=1)
    assert torch.equal(first.flip, augment.draw(only, 500, 32, seed=0, epoch=1).flip)
    assert not torch.equal(first.flip, augment.draw(both, 500, 32, seed=0, epoch=2).flip)
    assert not torch.equal(first.flip, augment.draw(both, 500, 32, seed=1, epoch=1).flip)
    assert 200 < int(first.flip.sum()) < 300
    assert set(first.top.tolist()) == set(range(9))


@pytest.mark.parametrize("name", ["flip", "top", "left"])
def test_draws_consume_no_global_randomness(name: str) -> None:
    torch.manual_seed(1)
    one = augment.draw(AugmentConfig(flip=True, crop=0.5), 50, 32, 0, 1)
    torch.manual_seed(2)
    two = augment.draw(AugmentConfig(flip=True, crop=0.5), 50, 32, 0, 1)
    assert torch.equal(getattr(one, name), getattr(two, name))

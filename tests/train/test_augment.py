"""Augmentation: the reference's pixels on the same draw, and the same draws whatever the batch."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as reference

from ablate.config.axes import AugmentConfig
from ablate.config.compose import config_folder
from ablate.train import augment, pixel_ops
from ablate.train.randomness import Chance
from tests.given import config_of

GREY = torch.tensor([124.0, 116.0, 104.0])
LEVELS = sorted(p.stem for p in (config_folder() / "augment").glob("*.yaml"))


def batch(count: int = 16, size: int = 32) -> Tensor:
    """Smooth images with noise on them, so that contrasts, edges and histograms all have something to do."""
    source = torch.Generator().manual_seed(0)
    coarse = torch.rand((count, 3, 4, 4), generator=source) * 200
    images = F.interpolate(coarse, size, mode="bilinear") + 30 * torch.rand((count, 3, size, size), generator=source)
    return images.clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def draws_of(count: int = 16, size: int = 32, seed: int = 0, epoch: int = 1, **config: object) -> augment.Draws:
    return augment.draw(AugmentConfig(**config), count, size, Chance(seed, epoch), torch.arange(count))  # type: ignore[arg-type]


def test_crop_and_flip_are_torchvisions_on_the_same_draw() -> None:
    images = batch()
    draws = draws_of(seed=3, epoch=2, flip=True, crop=0.125)
    assert 0 < int(draws.flip.sum()) < len(images)
    assert len(set(draws.top.tolist())) > 3
    ours = augment.apply(images, draws, GREY)
    for i, image in enumerate(images.permute(0, 3, 1, 2)):
        expected = reference.crop(reference.pad(image, [4]), int(draws.top[i]), int(draws.left[i]), 32, 32)
        if draws.flip[i]:
            expected = reference.horizontal_flip(expected)
        assert torch.equal(ours[i].permute(2, 0, 1), expected)


@pytest.mark.parametrize("level", ["none", "flip", "flip_crop"])
def test_images_taken_one_by_one_and_by_index_are_the_same(level: str) -> None:
    config = config_of(f"augment={level}").augment
    images = torch.randint(0, 256, (200, 17, 17, 3), dtype=torch.uint8)
    draws = augment.draw(config, 200, 17, Chance(3, 2))
    assert torch.equal(augment.one_by_one(images, draws), augment.by_index(images, draws))
    assert torch.equal(augment.one_by_one(images, draws), images) is (level == "none")


def test_color_is_torchvisions_on_the_same_draw() -> None:
    images = batch()
    draws = draws_of(color=0.4)
    assert draws.color is not None
    assert 0.6 <= float(draws.color.min()) < 0.75
    assert 1.25 < float(draws.color.max()) <= 1.4
    ours = augment.apply(images, draws, GREY)
    for i, image in enumerate(images.permute(0, 3, 1, 2)):
        by_brightness, by_contrast, by_saturation = draws.color[i].tolist()
        expected = reference.adjust_brightness(image, by_brightness)
        expected = reference.adjust_contrast(expected, by_contrast)
        expected = reference.adjust_saturation(expected, by_saturation)
        difference = (ours[i].permute(2, 0, 1).int() - expected.int()).abs()
        assert int(difference.max()) <= 1  # a value on the edge of two integers may fall to either side
        assert float((difference > 0).float().mean()) < 0.001


# ours -> torchvision's name
TRIVIAL = {
    "shear_x": "ShearX", "shear_y": "ShearY", "translate_x": "TranslateX", "translate_y": "TranslateY",
    "rotate": "Rotate", "identity": "Identity", "brightness": "Brightness", "saturation": "Color",
    "contrast": "Contrast", "sharpness": "Sharpness", "posterize": "Posterize", "solarize": "Solarize",
    "autocontrast": "AutoContrast", "equalize": "Equalize",
}  # fmt: skip


@pytest.mark.parametrize("name", pixel_ops.OPERATIONS)
def test_trivial_augment_is_torchvisions_on_the_same_draw(name: str) -> None:
    """Every operation with every strength that it can have, both ways."""
    space = v2.TrivialAugmentWide._AUGMENTATION_SPACE[TRIVIAL[name]]
    operation = torch.full((62,), pixel_ops.OPERATIONS.index(name))
    level = torch.arange(31).repeat(2)
    sign = torch.tensor([1, -1]).repeat_interleave(31)
    images = batch(62).permute(0, 3, 1, 2)
    strength = pixel_ops.trivial_strengths(operation, level, sign)
    ours = pixel_ops.trivial(images, operation, strength)
    magnitudes = space[0](31, 32, 32)
    differ = 0.0
    for i, image in enumerate(images):
        magnitude = 0.0 if magnitudes is None else float(magnitudes[level[i]])
        if space[1]:
            magnitude *= int(sign[i])
        expected = v2.TrivialAugmentWide()._apply_image_or_video_transform(
            image, TRIVIAL[name], magnitude, interpolation="nearest", fill={torch.Tensor: None}
        )
        differ += float((ours[i] != expected).float().mean()) / len(images)
        if name not in ("shear_x", "shear_y", "rotate"):  # where two neighbours are as near, either may be taken
            assert int((ours[i].int() - expected.int()).abs().max()) <= 1, magnitude
    assert differ < (0.01 if name in ("shear_x", "shear_y", "rotate") else 0.001)
    assert torch.equal(ours, images) == (name == "identity")


@pytest.mark.parametrize("name", pixel_ops.WARPS)
def test_a_warp_on_a_gpu_fetches_from_the_same_places(name: str) -> None:
    strength = pixel_ops.trivial_strengths(
        torch.full((62,), pixel_ops.OPERATIONS.index(name)),
        torch.arange(31).repeat(2),
        torch.tensor([1, -1]).repeat(31),
    )
    theta = pixel_ops.warp_matrices(name, strength, 32).float().transpose(1, 2) / 16
    x = y = torch.linspace(-15.5, 15.5, 32)
    torch.testing.assert_close(pixel_ops.by_value(x, y, theta), pixel_ops.by_product(x, y, theta))
    assert not torch.allclose(pixel_ops.by_value(x, -y, theta), pixel_ops.by_product(x, y, theta))


def test_trivial_augment_gives_each_image_its_own_operation() -> None:
    images = batch(64)
    draws = draws_of(64, trivial=True)
    assert draws.operation is not None and draws.strength is not None
    assert set(draws.operation.tolist()) == set(range(14))
    ours = augment.apply(images, draws, GREY)
    for i in range(64):
        alone = pixel_ops.trivial(
            images[i : i + 1].permute(0, 3, 1, 2), draws.operation[i : i + 1], draws.strength[i : i + 1]
        )
        assert torch.equal(ours[i], alone[0].permute(1, 2, 0))


def test_erasing_is_torchvisions_on_the_same_draw() -> None:
    images = batch(200)
    draws = draws_of(200, erase=0.5)
    assert draws.erased is not None
    ours = augment.apply(images, draws, GREY)
    shares = []
    for i, image in enumerate(images.permute(0, 3, 1, 2)):
        top, left, bottom, right = draws.erased[i].tolist()
        expected = reference.erase(image, top, left, bottom - top, right - left, GREY.to(torch.uint8)[:, None, None])
        assert torch.equal(ours[i].permute(2, 0, 1), expected)
        shares.append((bottom - top) * (right - left) / 32**2)
    erased = [share for share in shares if share]
    assert 75 < len(erased) < 125
    assert 0.015 < min(erased) < 0.06
    assert 0.27 < max(erased) < 0.35


def test_cutout_takes_a_square_that_may_hang_over_the_edge() -> None:
    draws = draws_of(500, cutout=0.5)
    assert draws.cut is not None
    sides = (draws.cut[:, 2:] - draws.cut[:, :2]).tolist()
    assert max(max(side) for side in sides) == 16
    assert min(min(side) for side in sides) == 8
    ours = augment.apply(batch(500), draws, GREY)
    for i in range(20):
        top, left, bottom, right = draws.cut[i].tolist()
        assert (ours[i, top:bottom, left:right] == GREY.to(torch.uint8)).all()


def partner_of_rolled(count: int) -> Tensor:
    """The partner that torchvision's mixing gives in a batch: the one before."""
    return torch.arange(count).roll(1)


def test_mixup_is_torchvisions_on_the_same_draw() -> None:
    images = batch()
    labels = torch.arange(16) % 10
    draws = draws_of(mixup=0.4)
    for i, share in enumerate([0.0, 0.3, 0.8, 1.0]):
        alike = dataclasses.replace(
            draws, partner=partner_of_rolled(16), mixed=torch.full((16,), share), share=torch.full((16,), share)
        )
        assert alike.partner is not None
        ours = augment.mix(images, images[alike.partner], alike)
        mixup = v2.MixUp(num_classes=10)
        params = {"labels": labels, "batch_size": 16, "lam": share}
        expected = mixup.transform(images.permute(0, 3, 1, 2).float(), params)
        torch.testing.assert_close(ours.permute(0, 3, 1, 2), expected, msg=str(i))


def test_cutmix_is_torchvisions_on_the_same_draw() -> None:
    images = batch()
    draws = draws_of(cutmix=1.0)
    alike = dataclasses.replace(draws, partner=partner_of_rolled(16))
    assert alike.partner is not None and alike.pasted is not None and alike.share is not None
    ours = augment.mix(images, images[alike.partner], alike).permute(0, 3, 1, 2)
    planes = images.permute(0, 3, 1, 2).float()
    for i in range(16):
        y1, x1, y2, x2 = alike.pasted[i].tolist()
        params = {"box": (x1, y1, x2, y2), "labels": torch.zeros(16), "batch_size": 16}
        expected = v2.CutMix(num_classes=10).transform(planes, params)
        assert torch.equal(ours[i], expected[i])
        assert float(alike.share[i]) == pytest.approx(1 - (x2 - x1) * (y2 - y1) / 32**2)


def test_the_loss_of_mixed_labels_is_that_of_torchvisions_soft_labels() -> None:
    """Also with label smoothing: on either label by its share, or on the mixed label, is the same."""
    logits = torch.randn(16, 10, generator=torch.Generator().manual_seed(1))
    labels, share = torch.arange(16) % 10, 0.3
    soft = v2.MixUp(num_classes=10)._mixup_label(labels, lam=share)
    for smoothing in (0.0, 0.1):
        own, other = (
            F.cross_entropy(logits, y, label_smoothing=smoothing, reduction="none") for y in (labels, labels.roll(1))
        )
        ours = torch.lerp(other, own, torch.full((16,), share)).mean()
        torch.testing.assert_close(ours, F.cross_entropy(logits, soft, label_smoothing=smoothing))


def test_partners_are_trained_on_and_each_is_used_once() -> None:
    trained = torch.arange(0, 100, 2)
    draws = augment.draw(AugmentConfig(mixup=0.2), 100, 32, Chance(0, 1), trained)
    assert draws.partner is not None
    assert sorted(draws.partner[trained].tolist()) == trained.tolist()


def test_with_both_kinds_of_mixing_each_has_half_the_images() -> None:
    draws = draws_of(1000, mixup=0.2, cutmix=1.0)
    assert draws.mixed is not None and draws.pasted is not None and draws.share is not None
    pasted = (draws.pasted[:, 2] > draws.pasted[:, 0]) & (draws.pasted[:, 3] > draws.pasted[:, 1])
    blended = draws.mixed < 1
    assert not (pasted & blended).any()
    assert 430 < int(pasted.sum()) < 570
    assert 0.6 < float(draws.share.mean()) < 0.8


def test_no_augmentation_changes_nothing() -> None:
    assert torch.equal(augment.apply(batch(), draws_of(), GREY), batch())


@pytest.mark.parametrize("level", LEVELS)
def test_an_image_is_augmented_alike_whatever_its_batch(level: str) -> None:
    images = batch()
    config = config_of(f"augment={level}").augment
    draws = augment.draw(config, 16, 32, Chance(0, 1), partners=torch.arange(16))

    def whole(index: Tensor) -> Tensor:
        x = augment.apply(images[index], draws.of(index), GREY)
        partner = draws.of(index).partner
        return (
            x
            if partner is None
            else augment.mix(x, augment.apply(images[partner], draws.of(partner), GREY), draws.of(index))
        )

    mixed = torch.tensor([5, 2, 11])
    assert torch.equal(whole(mixed), whole(torch.arange(16))[mixed])
    assert torch.equal(whole(torch.arange(16)), images) == (level == "none")


@pytest.mark.parametrize("level", LEVELS)
def test_augmentation_stays_on_the_device_of_the_images(level: str) -> None:
    """On a device without numbers, which refuses to be mixed with another."""
    draws = augment.draw(config_of(f"augment={level}").augment, 64, 32, Chance(0, 1), torch.arange(64))
    images = torch.empty((64, 32, 32, 3), dtype=torch.uint8, device="meta")
    ours = augment.apply(images, draws, GREY.to("meta"))
    assert (ours.device.type, ours.dtype) == ("meta", torch.uint8)
    if draws.partner is not None:
        assert augment.mix(ours, ours, draws).device.type == "meta"


def test_a_tensor_made_on_the_wrong_device_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin: noise drawn without saying where."""
    images = torch.empty((8, 32, 32, 3), dtype=torch.uint8, device="meta")
    monkeypatch.setattr(pixel_ops, "_spread", lambda strength, _: strength.float()[:, None, None, None])
    with pytest.raises(RuntimeError, match="device"):
        augment.apply(images, draws_of(8, color=0.4), GREY.to("meta"))


def test_draws_depend_on_seed_and_epoch_and_each_kind_has_its_own_stream() -> None:
    both, only = AugmentConfig(flip=True, crop=0.125), AugmentConfig(flip=True)
    first = augment.draw(both, 500, 32, Chance(0, 1))
    assert torch.equal(first.flip, augment.draw(only, 500, 32, Chance(0, 1)).flip)
    assert not torch.equal(first.flip, augment.draw(both, 500, 32, Chance(0, 2)).flip)
    assert not torch.equal(first.flip, augment.draw(both, 500, 32, Chance(1, 1)).flip)
    assert 200 < int(first.flip.sum()) < 300
    assert set(first.top.tolist()) == set(range(9))


KINDS = {
    "flip": True,
    "crop": 0.125,
    "trivial": True,
    "color": 0.4,
    "erase": 0.5,
    "cutout": 0.3,
    "mixup": 0.2,
    "cutmix": 1.0,
}
DRAWN = [f.name for f in dataclasses.fields(augment.Draws) if f.name != "padding"]


@pytest.mark.parametrize("name", DRAWN)
def test_draws_consume_no_global_randomness_and_differ_between_epochs_and_seeds(name: str) -> None:
    torch.manual_seed(1)
    one = getattr(draws_of(200, **KINDS), name)
    torch.manual_seed(2)
    assert torch.equal(one, getattr(draws_of(200, **KINDS), name))
    assert not torch.equal(one, getattr(draws_of(200, epoch=2, **KINDS), name))
    assert not torch.equal(one, getattr(draws_of(200, seed=1, **KINDS), name))

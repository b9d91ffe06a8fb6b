"""Whether a network takes pictures of a size, and a file of weights: tried on `meta`, where nothing is computed."""

import warnings
from collections.abc import Sequence

import torch

from ablate.config.axes import BackboneConfig, HeadConfig
from ablate.plan.networks import Question
from ablate.train.device import choose_device
from ablate.train.model import Classifier, build
from ablate.train.weights import load_weights


def answer(questions: Sequence[Question], device: str | None) -> tuple[list[str], str]:
    """What is wrong with each, "" where nothing is, and with a device's name, if one is to be looked for here."""
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [answer_one(question) for question in questions]
    try:
        if device is not None:
            choose_device(device)
    except ValueError as error:
        return found, str(error)
    return found, ""


def answer_one(question: Question) -> str:
    """What is wrong with a network, in a sentence with the way out; "" where nothing is."""
    backbone = BackboneConfig(name=question.name, stem_stride=question.stem_stride, freeze=_setting(question.freeze))
    try:
        model = _built(backbone)
        if question.weights is not None:
            load_weights(model.backbone, backbone.name, question.weights, only_check=True)
    except ValueError as error:
        return str(error)
    images = 1 if question.one_is_left else 2
    if _takes(model, backbone, question.resolution, images):
        return ""
    if images == 1 and _takes(model, backbone, question.resolution, 2):
        return (
            f"batch_size.micro={question.at_once} leaves a micro-batch of one image (of {question.batch}), on which "
            f"{question.name} cannot be trained; use another number"
        )
    size = model.backbone.pretrained_cfg.get("input_size", (3, 224, 224))[-1]
    works = _takes(model, backbone, size, images)
    out = f"use data.resolution={size}" if works else f"nor of its own size, {size}; take another network"
    return f"{question.name} does not accept images of {question.resolution} pixels; {out}"


def _setting(freeze: str) -> bool | str:
    return {"true": True, "false": False}.get(freeze, freeze)


def _built(backbone: BackboneConfig, device: str = "meta") -> Classifier:
    try:
        with torch.device(device):
            return build(backbone, HeadConfig(), classes=2, seed=0)
    except ValueError:
        raise
    except Exception:  # some read values while they are built, which `meta` has none of
        if device == "cpu":
            raise
        return _built(backbone, "cpu")


def _takes(model: Classifier, backbone: BackboneConfig, side: int, images: int) -> bool:
    """Whether a step's forward goes through; a no of `meta` is believed only after the CPU has said the same."""
    device = model.mean.device
    try:
        with torch.no_grad():
            model.train()(torch.zeros(images, 3, side, side, device=device))
        return True
    except Exception:  # each network has its own words, most of which name no size
        return device.type == "meta" and _takes(_built(backbone, "cpu"), backbone, side, images)

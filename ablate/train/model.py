"""The network: a timm backbone, its normalisation, and a head of linear layers."""

import hashlib
from typing import Any

import timm
import torch
import torch.nn.functional as F
from timm.models import group_parameters
from torch import Tensor, nn

from ablate.config.axes import BackboneConfig, HeadConfig
from ablate.config.pretrained import cannot_be_had, check_backbone, check_weights, packaged_file, weights_name
from ablate.train.randomness import derived_seed
from ablate.train.weights import load_weights

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


class Classifier(nn.Module):
    """Images (B, 3, H, W) of any number type in 0 … 255 to logits (B, classes).

    Scaling to the network's resolution and normalisation are part of the network, so that saved
    weights can be used without knowing them. Parts of the backbone whose parameters are all `frozen` stay
    in evaluation mode.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, backbone: Any, head: nn.Module, resolution: int | None = None, frozen: frozenset[str] = frozenset()
    ):
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.resolution = resolution
        for name, parameter in backbone.named_parameters():
            parameter.requires_grad_(name not in frozen)
        # Parts without a trained parameter: their BatchNorm keeps its statistics, and their dropout rests too.
        self.resting = [
            module
            for module in backbone.modules()
            if (own := list(module.parameters())) and not any(parameter.requires_grad for parameter in own)
        ]
        for name in ("mean", "std"):
            values = torch.tensor(backbone.pretrained_cfg[name])
            self.register_buffer(name, 255 * values.view(1, 3, 1, 1))

    def train(self, mode: bool = True) -> "Classifier":
        super().train(mode)
        for module in self.resting:
            module.train(False)
        return self

    def forward(self, images: Tensor) -> Tensor:
        pixels = images.to(torch.float32, copy=True)  # changed in place below
        if self.resolution is not None:
            pixels = F.interpolate(pixels, self.resolution, mode="bicubic", antialias=True).clamp(0, 255)
        mean, std = self.mean, self.std
        if pixels.is_contiguous(memory_format=torch.channels_last):
            # Over a whole image: three values at a time, as the colours lie in this layout, take five times as long.
            mean, std = (
                colour.expand(1, *pixels.shape[1:]).contiguous(memory_format=torch.channels_last)
                for colour in (mean, std)
            )
        logits: Tensor = self.head(self.backbone(pixels.sub_(mean).div_(std)))
        return logits


def build(
    backbone: BackboneConfig, head: HeadConfig, classes: int, seed: int, resolution: int | None = None
) -> Classifier:
    """Build the network with initial weights that depend on the seed and on each part alone.

    Raises ValueError when the model is unknown, or its weights cannot be had or do not fit.
    """
    check_backbone(backbone.name)
    torch.manual_seed(derived_seed(seed, "backbone"))
    body = _build_backbone(backbone)
    if backbone.stem_stride is not None:
        set_stem_stride(body, backbone.name, backbone.stem_stride)
    torch.manual_seed(derived_seed(seed, "head"))
    width = getattr(body, "head_hidden_size", body.num_features)
    return Classifier(body, build_head(head, width, classes), resolution, frozen_parameters(body, backbone))


def build_head(config: HeadConfig, width: int, classes: int) -> nn.Sequential:
    """Linear layers from `width` features over the hidden widths to the classes."""
    layers: list[nn.Module] = []
    for hidden in config.hidden:
        assert config.activation is not None
        layers += [nn.Dropout(config.dropout), nn.Linear(width, hidden), ACTIVATIONS[config.activation]()]
        width = hidden
    layers += [nn.Dropout(config.dropout), nn.Linear(width, classes)]
    return nn.Sequential(*(layer for layer in layers if not (isinstance(layer, nn.Dropout) and layer.p == 0)))


def frozen_parameters(body: Any, config: BackboneConfig) -> frozenset[str]:
    """The names of a timm model's parameters that are not trained. Raises ValueError for too many stages."""
    if config.freeze is True:
        return frozenset(name for name, _ in body.named_parameters())
    if not config.freeze:
        return frozenset()
    stages = group_parameters(body, body.group_matcher(coarse=True))  # {number: names}, the stem first
    count = int(str(config.freeze).removeprefix("stages:"))
    if count >= len(stages):
        raise ValueError(
            f"backbone.freeze={config.freeze}: {config.name} has {len(stages)} stages with its stem; "
            "backbone.freeze=true freezes all of them"
        )
    return frozenset(name for stage in sorted(stages)[:count] for name in stages[stage])


def _build_backbone(config: BackboneConfig) -> Any:
    file = config.weights or packaged_file(config)
    if not config.pretrained or file is not None:
        body = timm.create_model(config.name, num_classes=0)
        if file is not None:
            load_weights(body, config.name, file)
        return body
    check_weights(config)
    try:
        return timm.create_model(weights_name(config), pretrained=True, num_classes=0)
    except Exception as error:  # the hub's client, the network and the file system each raise their own
        raise cannot_be_had(config, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}") from None


def set_stem_stride(body: Any, name: str, stride: int) -> None:
    """Let the stem keep more of a small image: its first convolution gets the stride, and it alone.

    Raises ValueError for a network whose stem is not known.
    """
    stem = getattr(body, "conv1", None) or getattr(body, "conv_stem", None)
    if stem is None:
        raise ValueError(f"backbone.stem_stride is for ResNets and EfficientNets; {name} has another stem")
    first = next(module for module in stem.modules() if isinstance(module, nn.Conv2d))
    first.stride = (stride, stride)
    if hasattr(body, "maxpool"):
        body.maxpool = nn.Identity()


def on_cpu(model: nn.Module) -> dict[str, Tensor]:
    """The network's state as contiguous tensors on the CPU."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}


def weights_sha256(state: dict[str, Tensor]) -> str:
    """The SHA-256 of a state dict on the CPU: names, types, shapes and every byte of the values."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()

"""The network: a timm backbone, its normalisation, and a head of linear layers."""

import hashlib
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ablate.config import BackboneConfig, HeadConfig, did_you_mean
from ablate.randomness import derived_seed

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


class Classifier(nn.Module):
    """Images (B, 3, H, W) of any number type in 0 … 255 to logits (B, classes).

    Normalisation is part of the network, so that saved weights can be used without knowing it.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: nn.Module, head: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]):
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.register_buffer("mean", 255 * torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        features = self.backbone((images.float() - self.mean) / self.std)
        logits: Tensor = self.head(features)
        return logits


def check_backbone(name: str) -> None:
    """Raise ValueError when timm has no model of this name."""
    if not timm.is_model(name):
        known = timm.list_models()
        raise ValueError(f"backbone.name={name} is not a model of timm{did_you_mean(name, known)}")


def build(backbone: BackboneConfig, head: HeadConfig, classes: int, seed: int) -> Classifier:
    """Build the network with initial weights that depend on the seed and on each part alone.

    Raises ValueError when the model is unknown or its weights cannot be had.
    """
    check_backbone(backbone.name)
    torch.manual_seed(derived_seed(seed, "backbone"))
    body = _build_backbone(backbone)
    torch.manual_seed(derived_seed(seed, "head"))
    width = getattr(body, "head_hidden_size", body.num_features)
    return Classifier(body, build_head(head, width, classes), body.pretrained_cfg["mean"], body.pretrained_cfg["std"])


def build_head(config: HeadConfig, width: int, classes: int) -> nn.Sequential:
    """Linear layers from `width` features over the hidden widths to the classes."""
    layers: list[nn.Module] = []
    for hidden in config.hidden:
        assert config.activation is not None
        layers += [nn.Dropout(config.dropout), nn.Linear(width, hidden), ACTIVATIONS[config.activation]()]
        width = hidden
    layers += [nn.Dropout(config.dropout), nn.Linear(width, classes)]
    return nn.Sequential(*(layer for layer in layers if not (isinstance(layer, nn.Dropout) and layer.p == 0)))


def _build_backbone(config: BackboneConfig) -> Any:
    download = config.pretrained and config.weights is None
    try:
        body = timm.create_model(config.name, pretrained=download, num_classes=0)
    except Exception as error:
        if not download:
            raise
        raise ValueError(
            f"the pretrained weights of {config.name} cannot be had ({type(error).__name__}); "
            "give a local file with backbone.weights=FILE or start from scratch with backbone.pretrained=false"
        ) from error
    if config.weights is not None:
        _load_weights(body, config)
    return body


def _load_weights(body: Any, config: BackboneConfig) -> None:
    """Load a local state dict: of this timm model, with or without its classifier, or of one of our runs."""
    assert config.weights is not None
    try:
        if Path(config.weights).suffix == ".safetensors":
            state: dict[str, Any] = load_file(config.weights)
        else:
            state = torch.load(config.weights, map_location="cpu", weights_only=True)
    except Exception as error:  # torch, pickle and safetensors each raise their own
        raise ValueError(f"backbone.weights={config.weights} cannot be read: {error}") from None
    tensors: dict[str, Tensor] = state.get("state_dict", state.get("model", state))
    tensors = {key.removeprefix("module.").removeprefix("backbone."): value for key, value in tensors.items()}
    expected = body.state_dict()
    missing = [key for key, value in expected.items() if key not in tensors or tensors[key].shape != value.shape]
    if missing:
        raise ValueError(
            f"backbone.weights={config.weights} does not fit {config.name}: "
            f"{len(missing)} of {len(expected)} tensors are missing or of another shape, {missing[0]} first"
        )
    body.load_state_dict({key: tensors[key] for key in expected})


def weights_sha256(state: dict[str, Tensor]) -> str:
    """The SHA-256 of a state dict on the CPU: names, types, shapes and every byte of the values."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()

"""A frozen backbone on its own: one way to compute its features, so that stored and live ones are the same bits."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ablate.config import Config
from ablate.evaluate import to_network
from ablate.model import Classifier

MIXED = {"bf16": torch.bfloat16, "fp16": torch.float16}
# Part of the numerics. Small on a CPU, whose cache is to hold what a batch becomes on its way.
BATCH_ON_CPU, BATCH_ON_GPU = 16, 256
# Folding reorders sums: features may differ by rounding, not by more.
TOLERANCE = 1e-3


class Extractor:
    """Pixels (B, H, W, 3) of any number type to features (B, D), float32.

    The bits of an image's features depend on the image alone: batches have one shape, filled up with black
    where images are lacking, and one thread computes them.
    """

    def __init__(self, model: Classifier, config: Config, device: torch.device):
        self.channels_last = config.trainer.channels_last
        self.precision = config.trainer.precision
        self.device = device
        self.batch = batch_size(device)
        network = copy.deepcopy(model).cpu().eval()
        network.head = nn.Identity()
        network.backbone = fold_norms(network.backbone, config.data.resolution or config.data.size)
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        self.network = network.to(device=device, memory_format=layout)  # type: ignore[call-overload]

    def __call__(self, pixels: Tensor) -> Tensor:
        amp = torch.autocast(self.device.type, dtype=MIXED.get(self.precision), enabled=self.precision in MIXED)
        parts = []
        with torch.no_grad(), amp, one_thread():
            for chunk in pixels.to(self.device).split(self.batch):
                full = chunk.new_zeros(self.batch, *chunk.shape[1:])
                full[: len(chunk)] = chunk
                parts.append(self.network(to_network(full, self.channels_last))[: len(chunk)].float())
        return torch.cat(parts)


def batch_size(device: torch.device) -> int:
    """How many images every batch has that goes through a frozen backbone."""
    return BATCH_ON_CPU if device.type == "cpu" else BATCH_ON_GPU


@contextmanager
def one_thread() -> Iterator[None]:
    """The number of threads changes the last bits; features have those of one."""
    threads = torch.get_num_threads()
    if threads != 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if threads != 1:
            torch.set_num_threads(threads)


def fold_norms(body: Any, side: int) -> Any:
    """A backbone in evaluation mode with every BatchNorm that follows a convolution folded into it.

    `side` is that of the images it sees, in pixels. Which follows which is found by running it once; where
    the result is not that of the unfolded network, as where a convolution's output is used twice, the
    network is returned as it was.
    """
    folded = copy.deepcopy(body)
    producers: dict[int, tuple[nn.Conv2d, Tensor]] = {}  # by the output's id; holds the output, so that ids stay apart
    pairs: dict[nn.BatchNorm2d, nn.Conv2d] = {}

    def after_convolution(module: nn.Module, _: Any, output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        producers[id(output)] = (module, output)

    def before_norm(module: nn.Module, inputs: tuple[Tensor]) -> None:
        assert isinstance(module, nn.BatchNorm2d)
        if id(inputs[0]) in producers:
            pairs[module] = producers[id(inputs[0])][0]

    hooks = []
    for module in folded.modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(after_convolution))
        elif isinstance(module, nn.BatchNorm2d):
            hooks.append(module.register_forward_pre_hook(before_norm))
    probe = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = folded(probe)
        for hook in hooks:
            hook.remove()
        names = {module: name for name, module in folded.named_modules()}
        for norm, convolution in pairs.items():
            fused = fuse_conv_bn_eval(convolution, norm)
            convolution.weight, convolution.bias = fused.weight, fused.bias
            # timm's BatchNorm brings the activation that follows it.
            folded.set_submodule(names[norm], getattr(norm, "act", None) or nn.Identity())
        same = torch.allclose(folded(probe), expected, rtol=TOLERANCE, atol=TOLERANCE * float(expected.abs().max()))
    return folded if same else body

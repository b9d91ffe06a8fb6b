"""The signature that names a run: same signature = same experiment, for as long as the project lives."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from ablate.config.axes import BackboneConfig
from ablate.config.pretrained import packaged_file
from ablate.config.schema import HASHED_GROUPS, Config, DataConfig

# Raised by hand when a change to the code alters the numbers that the same configuration gives.
NUMERICS = 1
# The same for what computes the features of frozen backbones, which other runs do not use.
EXTRACTOR = 1
# The same for what only CUDA computes otherwise. It is recorded with a run's environment and not hashed, so that it
# renames no run. 1: evaluation in batches of one size, warped images value by value. Records without it are older.
CUDA_NUMERICS = 1


@cache
def unhashed() -> frozenset[str]:
    """The keys of the hashed groups that say where or how fast a run is trained, not what it is."""
    return frozenset(
        f"{group.name}.{f.name}"
        for group in dataclasses.fields(Config)
        if group.name in HASHED_GROUPS
        for f in dataclasses.fields(group.type)  # type: ignore[arg-type]
        if not f.metadata.get("hashed", True)
    )


def file_sha256(path: str) -> str:
    """The SHA-256 of a file's content. Raises ValueError when it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None


def identity(config: Config, data_fingerprint: str) -> dict[str, Any]:
    """Everything that decides a run's numbers, as plain types; its hash is the signature.

    `data_fingerprint` represents the content of the images, as a checksum does that of a weights file.
    """
    return whole(config.seed, {g: identity_of(getattr(config, g), data_fingerprint) for g in HASHED_GROUPS})


def whole(seed: int, groups: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """A run's identity from its groups' shares. A group that changes nothing is left out, as before it existed."""
    return {"numerics": NUMERICS, "seed": seed, **{group: share for group, share in groups.items() if share}}


def content(identity: Mapping[str, Any]) -> dict[str, str]:
    """What an identity holds beyond the settings: which images, which weights, which numerics."""
    found = {"numerics": str(identity["numerics"])}
    for group, name in (("data", "fingerprint"), ("backbone", "weights"), ("backbone", "extractor")):
        if identity[group].get(name) is not None:
            found[f"{group}.{name}"] = str(identity[group][name])
    return found


def identity_of(group: Any, data_fingerprint: str) -> dict[str, Any]:
    """One group's share of the identity, which no other group has a say in."""
    hashed = _hashed_fields(group)
    if isinstance(group, DataConfig):
        hashed["fingerprint"] = data_fingerprint
    if isinstance(group, BackboneConfig):
        file = group.weights or packaged_file(group)
        if file is not None:
            hashed["weights"] = file_sha256(file)
        if file is not None or not group.pretrained:
            hashed.pop("tag", None)  # nothing is downloaded by it
        if group.freeze is True:
            hashed["extractor"] = EXTRACTOR
    return hashed


def _hashed_fields(group: Any) -> dict[str, Any]:
    values = {}
    for f in dataclasses.fields(group):
        value = getattr(group, f.name)
        if not f.metadata.get("hashed", True):
            continue
        if "neutral" in f.metadata and value == f.metadata["neutral"]:
            continue
        # 0.0 and -0.0 are one number; OmegaConf has made every float field a float already.
        values[f.name] = value + 0.0 if isinstance(value, float) else value
    return values


def signature(identity: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits that name an experiment: same signature = same experiment."""
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]

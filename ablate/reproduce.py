"""Train a recorded run again, from its folder alone, and say whether it came out the same."""

import argparse
import sys
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from yaml import YAMLError

from ablate import data, record
from ablate.cache import Images
from ablate.compose import from_omegaconf
from ablate.config import Config

IDENTICAL, DIFFERENT, CANNOT_TRY = 0, 1, 2


def reproduce(run_dir: Path) -> int:
    """Train the run of a folder again, which is left untouched, and print what differs.

    Returns 0 when weights and metrics are the same to the bit, else 1. Raises ValueError when the
    record is not that of a finished run, or its data cannot be had.
    """
    folder = record.RunFolder(run_dir)
    entry = folder.read()
    if entry["state"] != record.State.DONE:
        raise ValueError(f"{run_dir} is {entry['state']}, not DONE: there is no result to compare with")
    config = _read_config(folder)
    images = data.load(config.data)
    rows, weights, here = _train(config, images, entry.get("batch", {}).get("micro"))

    print(f"{run_dir.name}: trained again, {len(rows)} epochs")
    for line in _surroundings(entry, images.fingerprint, config, here):
        print(f"  {line}")
    different = compare(folder.read_metrics(), rows)
    same_weights = weights == entry["weights_sha256"]
    if same_weights and not different:
        print(f"identical: the weights ({weights[:12]}) and all metrics of all epochs are the same to the bit")
        return IDENTICAL
    print(f"different: final weights {'the same' if same_weights else 'differ'} "
          f"({str(entry['weights_sha256'])[:12]} then, {weights[:12]} now)")  # fmt: skip
    for line in different:
        print(f"  {line}")
    return DIFFERENT


def _read_config(folder: record.RunFolder) -> Config:
    try:
        composed = OmegaConf.load(folder.config)
    except (OSError, YAMLError) as error:
        raise ValueError(f"{folder.config} cannot be read: {' '.join(str(error).split())}") from None
    return from_omegaconf(composed)  # type: ignore[arg-type]


def _train(config: Config, images: Images, micro: int | None) -> tuple[list[dict[str, float]], str, dict[str, Any]]:
    """Train with `micro` images at once, as the record says.

    Returns the metrics of every epoch, the final weights' hash, and the environment they were made in.
    """
    import torch

    from ablate import environment
    from ablate.model import weights_sha256
    from ablate.train import choose_device, on_cpu, train

    torch.set_num_threads(config.trainer.threads)
    device = choose_device(config.trainer.device)
    rows: list[dict[str, float]] = []
    model = train(config, images, device, lambda epoch: rows.append(epoch.row), micro)
    return rows, weights_sha256(on_cpu(model)), environment.describe(device)


def _surroundings(entry: dict[str, Any], fingerprint: str, config: Config, here: dict[str, Any]) -> list[str]:
    """What differs around the training: data, code's numerics, environment."""
    from ablate.environment import differences
    from ablate.signature import identity, signature

    lines = []
    if entry["data"]["fingerprint"] != fingerprint:
        lines.append(f"data: fingerprint {entry['data']['fingerprint'][:12]} then, {fingerprint[:12]} now")
    now = signature(identity(config, fingerprint))
    if now != entry["signature"]:
        lines.append(f"signature: {entry['signature']} then, {now} now")
    lines += differences(entry["environment"], here)
    return lines or ["environment, data and code are those of the record"]


def compare(then: list[dict[str, float]], now: list[dict[str, float]]) -> list[str]:
    """One line for the first epoch in which each metric differs; timings are not compared."""
    lines = []
    if len(then) != len(now):
        lines.append(f"{len(then)} epochs recorded, {len(now)} trained")
    for column in record.METRIC_COLUMNS:
        if column in record.TIMINGS:
            continue
        for a, b in zip(then, now, strict=False):
            if a[column] != b[column]:
                lines.append(f"{column}: {a[column]!r} then, {b[column]!r} now, from epoch {a['epoch']:g} on")
                break
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m ablate.reproduce", description=__doc__)
    parser.add_argument("run_dir", type=Path, help="the folder of a finished run, as outputs/main/resnet18-s0-…")
    arguments = parser.parse_args()
    try:
        sys.exit(reproduce(arguments.run_dir))
    except ValueError as error:
        print(f"ablate.reproduce: {error}", file=sys.stderr)
        sys.exit(CANNOT_TRY)


if __name__ == "__main__":
    main()

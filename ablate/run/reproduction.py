"""Train recorded runs again, from their folders alone, and say whether they came out the same."""

import random
import shlex
import statistics
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablate.config.budget import Budget
from ablate.config.compose import read_config
from ablate.config.schema import Config
from ablate.data import datasets
from ablate.data.cache import Images
from ablate.data.pictures.decode import RULES
from ablate.records import run_folder
from ablate.records.record import Record, State, experiment
from ablate.records.run_folder import METRIC_COLUMNS, TIMINGS, RunFolder


@dataclass(frozen=True)
class Conditions:
    """How a run is trained again: its first epochs only, on another device, with another number of threads."""

    epochs: int | None = None
    device: str | None = None
    threads: int | None = None
    places: Mapping[str, str] = field(default_factory=dict)  # {setting: where it lies now}


@dataclass(frozen=True)
class Reproduction:
    """What training a run again showed, in sentences: before it, and after it with the verdict first."""

    run: str
    identical: bool
    before: list[str]
    after: list[str]


def reproduce(run_dir: Path, conditions: Conditions, say: Callable[[str], None]) -> Reproduction:
    """Train the run of a folder again, which is left untouched, and say what differs, before and after.

    It is identical when all weights and metrics are the same to the bit. Raises ValueError when the record is not that
    of a finished run, or its data cannot be had.
    """
    folder = RunFolder(run_dir)
    record = folder.read()
    if not record.has_result():
        raise ValueError(f"{run_dir} is {record.state} and has no result to compare with")
    config = read_config(folder.config)
    from ablate.train.device import choose_device, set_flags  # torch, which a wrong folder need not wait for

    config.data.cache = None  # the user's own: a study may come from anyone, and name any place
    for key, path in conditions.places.items():
        group, _, name = key.partition(".")
        setattr(getattr(config, group), name, path)
    config.trainer.device = conditions.device or config.trainer.device
    config.trainer.threads = conditions.threads or config.trainer.threads
    data_path = config.data.path
    if data_path is not None and not Path(data_path).exists():
        raise ValueError(f"there are no data at {data_path}; say where they are: ablate reproduce RUN data.path=DIR")
    images = datasets.load(config.data, record.data.rules if record.data is not None else RULES)
    device = choose_device(config.trainer.device)
    set_flags(config.trainer)
    say(f"{run_dir.name}:")
    first = before(folder, record, config, images.fingerprint, device)
    for line in first:
        say(f"  {line}")
    if record.batch is not None:  # the rung of the memory ladder that it was trained on
        config.batch_size.micro = str(record.batch.micro)
    again = _train(config, images, device, conditions.epochs)
    then = after(folder, record, again)
    for line in then:
        say(f"  {line}")
    return Reproduction(run_dir.name, then[0].startswith("identical"), first, then)


@dataclass
class Again:
    """What training a run again gave; the final weights' hash is None when it stopped before the last epoch."""

    rows: list[dict[str, float]] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    initial: str = ""
    final: str | None = None


class _Enough(Exception):
    """As many epochs as were asked for."""


def _train(config: Config, images: Images, device: Any, epochs: int | None) -> Again:
    from ablate.train.loop import Epoch, train
    from ablate.train.model import on_cpu, weights_sha256

    again, budget = Again(), Budget.of(config, len(datasets.holdout_split(images, config.data)[0]))

    def on_epoch(epoch: Epoch) -> None:
        again.rows.append(epoch.row)
        again.digests.append(epoch.digest)
        again.initial = epoch.initial_sha256
        if len(again.rows) == epochs and epochs < budget.epochs:
            raise _Enough

    with suppress(_Enough):
        again.final = weights_sha256(on_cpu(train(config, images, device, on_epoch)))
    return again


def before(folder: RunFolder, record: Record, config: Config, fingerprint: str, device: Any) -> list[str]:
    """What differs around the training, in data, experiment, code and environment, and what to expect of that."""
    from ablate.config.signature import identity, signature
    from ablate.run.environment import describe, differences

    then, now = dict(record.environment), describe(device, config.trainer)
    code_then = then.pop("code", {})
    code = differences(code_then, now.pop("code"), "code ")
    around = differences(then, now)
    named = signature(identity(config, fingerprint))
    if named != record.signature:
        around.insert(0, f"signature: {record.signature} then, {named} now")
    recorded = record.data.fingerprint if record.data is not None else "unknown"
    if recorded != fingerprint:
        around.insert(0, f"data: fingerprint {recorded[:12]} then, {fingerprint[:12]} now")
    if not config.trainer.deterministic:
        expected = "it was trained with trainer.deterministic=false, so equal bits are not promised"
    elif around:
        expected = "with these differences, expect other bits"
    elif code:
        expected = "only the code differs: expect the same bits, unless a change to it touches training"
    else:
        expected = "environment, data and code are those of the record: expect the same bits"
    resumed = [line for line in record.deviations if line.startswith("resumed")]
    return [*around, *code, *(_bring_back(folder, code_then) if code else ()), *resumed, expected]


def _bring_back(folder: RunFolder, code: dict[str, Any]) -> list[str]:
    """The commands that bring the record's code back, or why none can."""
    if not code.get("commit"):
        return [
            f"the code was ablate {code.get('version')}, outside a checkout: pip install ablate=={code.get('version')}"
        ]
    lines = [f"the code was that of commit {code['commit']}" + (", with changes" if code.get("dirty") else "")]
    lines.append(f"  git checkout {code['commit']}")
    if folder.diff.exists():
        lines.append(f"  git apply {shlex.quote(str(folder.diff.absolute()))}")
    return lines


def after(folder: RunFolder, record: Record, again: Again) -> list[str]:
    """Whether it came out the same, in the first line, then where not and by how much."""
    trained, epochs = len(again.rows), record.epochs or len(again.rows)
    lines = []
    then = record.initial_weights_sha256
    if then and then != again.initial:
        lines.append(f"the initial weights differ: {then[:12]} then, {again.initial[:12]} now")
    pairs = zip(record.epoch_digests, again.digests, strict=False)
    first = next((epoch for epoch, (a, b) in enumerate(pairs, start=1) if a != b), None)
    if first is not None:
        lines.append(f"the weights differ from epoch {first} on")
    lines += compare(folder.read_metrics()[:trained] if again.final is None else folder.read_metrics(), again.rows)
    if again.final is None:
        if not lines:
            return [f"identical so far: weights and metrics of the first {trained} of {epochs} epochs, to the bit"]
        return [f"different, in the first {trained} of {epochs} epochs", *lines]
    recorded = str(record.weights_sha256)
    if recorded != again.final:
        lines.append(f"the final weights differ: {recorded[:12]} then, {again.final[:12]} now")
    if not lines:
        return [f"identical: the weights ({recorded[:12]}) and all metrics of all {trained} epochs, to the bit"]
    return ["different", *lines, among_seeds(folder, record, again.rows[-1]["test_accuracy"])]


def among_seeds(folder: RunFolder, record: Record, accuracy: float) -> str:
    """Whether an accuracy lies within the range of the study's other seeds of the same combination."""
    seeds = {
        found.seed: found.metrics["test_accuracy"]
        for _, found in run_folder.records(folder.path.absolute().parent)
        if found.has_result() and experiment(found.identity) == experiment(record.identity)
    }
    then = 100 * record.metrics["test_accuracy"]
    now = f"final test accuracy {100 * accuracy:.2f} %, {then:.2f} % on record"
    if len(seeds) < 2:
        return f"{now}; the study has no other seed of this combination to compare the difference with"
    low, high = min(seeds.values()), max(seeds.values())
    where = "within" if low <= accuracy <= high else "outside"
    spread = f"{100 * low:.2f} to {100 * high:.2f} %, sd {100 * statistics.stdev(seeds.values()):.2f}"
    return f"{now}; {where} the range of the study's {len(seeds)} seeds ({spread})"


def compare(then: list[dict[str, float]], now: list[dict[str, float]]) -> list[str]:
    """One line for the first epoch in which each metric differs, and by how much; timings are not compared."""
    lines = []
    if len(then) != len(now):
        lines.append(f"{len(then)} epochs recorded, {len(now)} trained")
    for column in METRIC_COLUMNS:
        apart = [(a, b) for a, b in zip(then, now, strict=False) if a[column] != b[column]]
        if apart and column not in TIMINGS:
            a, b = apart[0]
            most = max(abs(a[column] - b[column]) for a, b in apart)
            first = f"{column}: {a[column]!r} then, {b[column]!r} now"
            lines.append(f"{first}, from epoch {a['epoch']:g} on; at most {most:.2g} apart")
    return lines


def sample(study: Path, count: int) -> list[Path]:
    """Some finished runs of a study, drawn anew at each call. Raises ValueError when it has none."""
    finished = [folder.path for folder, record in run_folder.records(study) if record.state == State.DONE]
    if not finished:
        raise ValueError(f"{study} holds no finished run")
    return sorted(random.SystemRandom().sample(finished, min(count, len(finished))))

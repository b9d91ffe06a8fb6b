"""A frozen backbone on its own: one way to compute its features, so that stored and live ones are the same bits."""

import copy
import hashlib
import json
import logging
import os
import pickle
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from functools import lru_cache
from importlib.metadata import version
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ablate.config.schema import Config
from ablate.config.signature import EXTRACTOR, file_sha256
from ablate.data.cache import Images
from ablate.data.pictures.store import WORKERS
from ablate.data.sources import cache_root
from ablate.records import files
from ablate.records.lock import turn
from ablate.system.progress import progress_bar
from ablate.system.signals import die_with_parent
from ablate.train.device import autocast, device_name
from ablate.train.evaluate import to_network
from ablate.train.micro_batch import keep_freed_memory
from ablate.train.model import Classifier, weights_sha256

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
        self.batch = extractor_batch(device)
        network = copy.deepcopy(model).cpu().eval()
        network.head = nn.Identity()
        network.backbone = fold_norms(network.backbone, config.data.resolution or config.data.size)
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        self.network = network.to(device=device, memory_format=layout)  # type: ignore[call-overload]

    def __call__(self, pixels: Tensor) -> Tensor:
        amp = autocast(self.device, self.precision)
        parts = []
        with torch.no_grad(), amp, one_thread():
            for chunk in pixels.to(self.device).split(self.batch):
                full = chunk.new_zeros(self.batch, *chunk.shape[1:])
                full[: len(chunk)] = chunk
                parts.append(self.network(to_network(full, self.channels_last))[: len(chunk)].float())
        return torch.cat(parts)


def extractor_batch(device: torch.device) -> int:
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


log = logging.getLogger("ablate")
View = Literal["train", "train_flipped", "test"]
PIECE = 256  # images to a file while they are computed: what a kill can cost each process
# Seconds of CPU time that are worth more processes: each takes some four to import torch, on a core that others use.
WORTH_PROCESSES = 20.0


def views_of(config: Config, *, live: bool) -> tuple[View, ...]:
    """The views that a run reads; with `live` features of the training images, evaluation's alone."""
    return ("train", "train_flipped", "test") if config.augment.flip and not live else ("train", "test")


def load(
    config: Config,
    images: Images,
    model: Classifier,
    *,
    live: bool,
    check: Callable[[], None] = lambda: None,
) -> dict[View, Tensor]:
    """The features of every view that a run reads, computed now or before.

    Raises ValueError for a full disk, and what `check` raises, which is called now and then.
    """
    device = model.mean.device
    key = describe(config, images, model, device)
    folder = cache_root(config.data) / f"features-{_hash(key)}"
    views = views_of(config, live=live)
    try:
        files.write_json(folder / "key.json", key)
        if any(_open(folder, view) is None for view in views):
            with turn(folder / "computing.lock"):  # one computes, the others wait
                missing = [view for view in views if _open(folder, view) is None]
                if missing:
                    _compute(folder, missing, images, Extractor(model, config, device), check)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ValueError(f"the features {folder} cannot be written: {reason}; name another data.cache=DIR") from None
    opened = {view: _open(folder, view) for view in views}
    assert all(features is not None for features in opened.values()), "features just stored must open"
    return opened  # type: ignore[return-value]


def describe(config: Config, images: Images, model: Classifier, device: torch.device) -> dict[str, object]:
    """All that can change a bit of the features."""
    backbone = {name: tensor.detach().cpu() for name, tensor in model.backbone.state_dict().items()}
    return {
        "extractor": EXTRACTOR,
        "batch": extractor_batch(device),
        "data": images.fingerprint,
        "size": config.data.size,
        "resolution": config.data.resolution,
        "backbone": config.backbone.name,
        "stem_stride": config.backbone.stem_stride,
        "weights": weights_sha256(backbone),
        "normalisation": [*model.mean.view(-1).tolist(), *model.std.view(-1).tolist()],
        "precision": config.trainer.precision,
        "channels_last": config.trainer.channels_last,
        "tf32": config.trainer.tf32,
        "deterministic": config.trainer.deterministic,
        "device": device_name(device),
        "capability": torch.backends.cpu.get_cpu_capability() if device.type == "cpu" else None,
        "packages": {name: version(name) for name in ("torch", "timm", "pillow")},
    }


def _hash(key: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]


def _open(folder: Path, view: View) -> Tensor | None:
    """Memory-map a view after checking every byte of it; None when there is none or it is damaged."""
    path = folder / f"{view}.npy"
    try:
        if _sha256_seen(path, path.stat().st_mtime_ns) != (folder / f"{view}.sha256").read_text():
            return None
        return torch.from_numpy(np.load(path, mmap_mode="c"))
    except (OSError, ValueError):
        return None


@lru_cache(maxsize=16)
def _sha256_seen(path: Path, _mtime: int) -> str:
    """The file's hash, read once in a process that trains many short runs on it."""
    return file_sha256(str(path))


def _compute(folder: Path, views: list[View], images: Images, extractor: Extractor, check: Callable[[], None]) -> None:
    """Compute views in pieces, each a file that is there whole or not at all, and join them."""
    pixels = {view: images.test_images if view == "test" else images.train_images for view in views}
    pieces = [(view, start) for view in views for start in range(0, len(pixels[view]), PIECE)]
    missing = [piece for piece in pieces if not _piece(folder, *piece).exists()]
    jobs = [(folder, view, start, pixels[view][start : start + PIECE]) for view, start in missing]
    todo = sum(len(chunk) for *_, chunk in jobs)
    started = time.perf_counter()
    with progress_bar("features of a frozen backbone", todo, "images") as advance:
        for count in _run(jobs, extractor):
            advance(count)
            check()
    log.info("  features of %d images computed, %.0f images/s", todo, todo / (time.perf_counter() - started))
    for view in views:
        _join(folder, view, len(pixels[view]))


def _join(folder: Path, view: View, count: int) -> None:
    """Join the pieces on disk, one at a time: together they may be larger than the memory."""
    width = np.load(_piece(folder, view, 0), mmap_mode="r").shape[1]
    joined = folder / f".{view}.npy"
    whole = np.lib.format.open_memmap(joined, mode="w+", dtype=np.float32, shape=(count, width))
    for start in range(0, count, PIECE):
        whole[start : start + PIECE] = np.load(_piece(folder, view, start))
    whole.flush()
    del whole
    files.write_bytes(folder / f"{view}.sha256", file_sha256(str(joined)).encode())
    os.replace(joined, folder / f"{view}.npy")
    shutil.rmtree(folder / f"{view}.pieces")


def _piece(folder: Path, view: View, start: int) -> Path:
    return folder / f"{view}.pieces" / f"{start:09d}.npy"


Job = tuple[Path, View, int, np.ndarray]  # the folder, and which images


def _run(jobs: list[Job], extractor: Extractor) -> Iterator[int]:
    """Yield the number of images of each piece as it is stored; on a CPU, every core computes what takes long."""
    shared = extractor.device.type == "cpu" and WORKERS > 1
    for done, job in enumerate(jobs, start=1):
        started = time.process_time()  # the work itself, whatever else this machine does
        yield _store(job, extractor)
        if shared and (len(jobs) - done) * (time.process_time() - started) > WORTH_PROCESSES:
            yield from _in_processes(jobs[done:], extractor)
            return


def _in_processes(jobs: list[Job], extractor: Extractor) -> Iterator[int]:
    # A copy with everything in it: workers neither build the network again nor share memory.
    everything = (pickle.dumps(extractor),)
    workers = min(WORKERS, len(jobs))
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_start_worker, initargs=everything) as pool:
        try:
            for done in as_completed([pool.submit(_work, job) for job in jobs]):
                yield done.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


_extractor: Extractor | None = None  # of a worker process


def _start_worker(pickled: bytes) -> None:
    global _extractor
    die_with_parent()
    torch.set_num_threads(1)
    keep_freed_memory()
    _extractor = pickle.loads(pickled)


def _work(job: Job) -> int:
    assert _extractor is not None
    return _store(job, _extractor)


def _store(job: Job, extractor: Extractor) -> int:
    folder, view, start, pixels = job
    chunk = torch.from_numpy(np.array(pixels))
    features = extractor(chunk.flip(2) if view == "train_flipped" else chunk)
    content = BytesIO()
    np.save(content, features.cpu().numpy())
    files.write_bytes(_piece(folder, view, start), content.getvalue())
    return len(chunk)

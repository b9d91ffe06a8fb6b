"""timm's training script in short: its network, loader with prefetcher, optimizer and schedule.

The script is in timm's repository alone and not in its package. What it reads, logs and saves besides is left out; what
makes it fast on a GPU is in: channels last, autocast, TF32, cuDNN's search for kernels, a fused optimizer and workers.
"""

import argparse
import time
from pathlib import Path

import timm
import torch
import torch.nn.functional as F
from timm.data import create_dataset, create_loader, resolve_data_config
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2

from benchmarks.peers.recipe import EVALUATED_AT_ONCE


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    for name in ("model", "precision", "device"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("epochs", "batch", "size", "classes", "workers"):
        parser.add_argument(f"--{name}", type=int, required=True)
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    model = timm.create_model(options.model, num_classes=options.classes)
    model = model.to(device=device, memory_format=torch.channels_last)
    expects = resolve_data_config(model=model)
    always = {
        "input_size": (3, options.size, options.size), "mean": expects["mean"], "std": expects["std"], "device": device,
        "num_workers": options.workers, "persistent_workers": options.workers > 0,
    }  # fmt: skip
    # It cannot pad and crop. This neither rescales nor moves an image: less work than ours.
    as_it_is = {"train_crop_mode": "rkrc", "scale": (1, 1), "ratio": (1, 1), "color_jitter": 0}
    training = create_loader(
        create_dataset("", root=str(options.data), split="train", is_training=True),
        batch_size=options.batch, is_training=True, **as_it_is, **always,
    )  # fmt: skip
    validation = create_loader(
        create_dataset("", root=str(options.data), split="val"), batch_size=EVALUATED_AT_ONCE, crop_pct=1.0, **always
    )
    optimizer = create_optimizer_v2(model, "adam", lr=1e-3, fused=True)
    schedule, _ = create_scheduler_v2(
        optimizer, num_epochs=options.epochs, step_on_epochs=False, updates_per_epoch=len(training)
    )
    amp = torch.autocast(device.type, dtype=torch.bfloat16, enabled=options.precision == "bf16")
    steps = seen = 0
    for _ in range(options.epochs):
        model.train()
        started = time.perf_counter()
        for x, y in training:
            with amp:
                loss = F.cross_entropy(model(x.contiguous(memory_format=torch.channels_last)), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            steps += 1
            schedule.step_update(steps)
        loss.item()  # waits for the device
        seconds = time.perf_counter() - started
        model.eval()
        hits = torch.zeros((), device=device)
        with torch.inference_mode():
            for x, y in validation:
                with amp:
                    hits += (model(x.contiguous(memory_format=torch.channels_last)).argmax(1) == y).sum()
                seen += len(y)
    print(f"steps {steps} evaluated {seen} hits {hits:.0f}")
    print(f"images/s {len(training) * options.batch / seconds}")


if __name__ == "__main__":
    main()

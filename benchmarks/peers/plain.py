"""The plain loop: torchvision's ImageFolder, a DataLoader, and a training loop as in PyTorch's examples."""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F

from benchmarks.peers.recipe import loaders, network, optimizer


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--initial", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    for name in ("epochs", "batch", "classes", "workers"):
        parser.add_argument(f"--{name}", type=int, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    training, validation = loaders(options.data, options.model, options.batch, options.workers)
    model = network(options.model, options.classes, options.initial)
    sgd = optimizer(model, options.lr)
    steps = seen = 0
    for epoch in range(options.epochs):
        model.train()
        total = torch.zeros(())
        for x, y in training:
            sgd.zero_grad()
            loss = F.cross_entropy(model(x.to(memory_format=torch.channels_last)), y)
            loss.backward()
            sgd.step()
            total += loss.detach()
            steps += 1
        model.eval()
        hits = 0
        with torch.inference_mode():
            for x, y in validation:
                hits += int((model(x.to(memory_format=torch.channels_last)).argmax(1) == y).sum())
                seen += len(y)
        print(f"epoch {epoch + 1}: loss {total / len(training):.3f}, accuracy {hits / (seen / (epoch + 1)):.3f}")
    print(f"steps {steps} evaluated {seen}")


if __name__ == "__main__":
    main()

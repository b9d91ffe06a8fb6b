"""`ablate download NAME`: get a data set. Nothing is unpacked before its checksum is verified."""

import argparse
import socket
from collections.abc import Sequence
from pathlib import Path

from ablate.data.download import TIMEOUT, download
from ablate.data.sources import TORCHVISION


def main(arguments: Sequence[str]) -> int:
    """Download a data set. Returns 0. Raises ValueError when it cannot be had."""
    parser = argparse.ArgumentParser(
        prog="ablate download", description="Download a data set into the cache folder and verify its checksum."
    )
    parser.add_argument("name", choices=("tiny_imagenet", *TORCHVISION), help="which data set")
    parser.add_argument(
        "--to", type=Path, metavar="DIR", help="the folder to put it in (default: the user's cache folder)"
    )
    parser.add_argument("--url", help="another address of Tiny ImageNet's archive; the checksum must be the same")
    options = parser.parse_intermixed_args(arguments)
    socket.setdefaulttimeout(TIMEOUT)  # torchvision sets none
    download(options.name, options.to, options.url)
    return 0

"""The door for `python -m ablate.status`; the command is `ablate status`."""

import sys

from ablate.commands.cli import main

if __name__ == "__main__":
    sys.exit(main(["status", *sys.argv[1:]]))

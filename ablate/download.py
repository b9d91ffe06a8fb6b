"""The door for `python -m ablate.download`; the command is `ablate download`."""

import sys

from ablate.commands.cli import main

if __name__ == "__main__":
    sys.exit(main(["download", *sys.argv[1:]]))

"""The door for `python -m ablate.reproduce`; the command is `ablate reproduce`."""

import sys

from ablate.commands.cli import main

if __name__ == "__main__":
    sys.exit(main(["reproduce", *sys.argv[1:]]))

import sys

from ablate.commands.cli import main

if __name__ == "__main__":
    sys.exit(main())

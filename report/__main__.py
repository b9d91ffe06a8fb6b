"""The door for `python -m report`; the command is `ablate report`."""

import sys

from ablate.report.command import main as report


def main() -> int:
    """Report on the studies that this process's arguments name; a user's mistake is one sentence and exit code 2."""
    try:
        return report(sys.argv[1:])
    except ValueError as error:
        print(f"ablate report: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())

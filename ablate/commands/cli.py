"""`ablate`: which command. A first word without `=` that begins with none of `-`, `+` and `~` names one; all else is a
sweep, as Hydra reads it."""

import importlib
import os
import signal
import sys
from collections.abc import Sequence

import ablate
from ablate.config.checks import did_you_mean

# Each is a module of this folder, with `main(arguments) -> exit code`.
COMMANDS = {
    "status": "show the finished, running, failed and missing runs of a study",
    "ls": "list all studies: axes, finished runs, best result, last change",
    "report": "write the report of a study, or compare two studies",
    "reproduce": "train recorded runs again and compare them bit for bit",
    "remove": "take a level, a seed or a run out of a study, on the record",
    "export": "write a study into one file, to carry it to another machine or to publish it",
    "inspect": "show what a folder of pictures holds, what is left out, and what a network sees",
    "download": "get a data set",
    "explain": "say what a setting, an axis or a level is",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 1 for an unfinished or different result, 2 for a wrong command."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["help"]:
        words = [*words[1:2], "--help"]
    if words in (["--version"], ["version"]):
        print(f"ablate {ablate.__version__}")
        return 0
    try:
        if names_a_command(words):
            return run(words[0], words[1:])
        return sweep(words)
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains once more at exit
        return 128 + signal.SIGPIPE


def sweep(words: Sequence[str]) -> int:
    """Run a sweep; a slip is answered before Hydra is loaded, and Hydra before torch."""
    from ablate.commands import arguments

    if {"--help", "-h"} & set(words):
        from ablate.commands import overview

        print(overview.text(COMMANDS, arguments.own_folders(words)), end="")
        return 0
    try:
        settled = arguments.settled(words)
    except ValueError as error:
        print(f"ablate: {error}", file=sys.stderr)
        return 2
    from ablate.commands import hydra_app

    return hydra_app.main(settled)


def names_a_command(words: Sequence[str]) -> bool:
    """Whether the first word is a command's name rather than the beginning of a sweep."""
    return bool(words) and "=" not in words[0] and not words[0].startswith(("-", "+", "~"))


def run(name: str, arguments: Sequence[str]) -> int:
    """Run one of COMMANDS; a user's mistake is one sentence and exit code 2."""
    if name not in COMMANDS:
        from ablate.config import hints

        meant = hints.unknown_command([name, *arguments])
        known = f" (commands: {', '.join(COMMANDS)}; a study is AXIS=LEVEL[,LEVEL…], see ablate --help)"
        answer = f"; {meant}" if meant else f"{did_you_mean(name, COMMANDS)}{known}"
        print(f"ablate: there is no command {name!r}{answer}", file=sys.stderr)
        return 2
    try:
        code: int = importlib.import_module(f"ablate.commands.{name}").main(arguments)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print(f"ablate {name}: interrupted; the same command continues", file=sys.stderr)
        return 128 + signal.SIGINT
    except ValueError as error:
        print(f"ablate {name}: {error}", file=sys.stderr)
        return 2

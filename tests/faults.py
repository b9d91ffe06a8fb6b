"""The table of faults, docs/faults.md: what can go wrong, what a user gets, and the tests that hold it.

    python -m tests.faults        writes the table anew

A test names the faults that it holds in `@pytest.mark.fault(12, 13)`; the numbers are those of the table.
"""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
TABLE = ROOT / "docs" / "faults.md"

HEAD = """# What can go wrong

Each line is a fault, what ablate does about it, and the tests that show it. The table is written by
`python -m tests.faults`; a test fails when it is out of date or when a fault has no test.

"An error" means one sentence that names the file or the setting and the way out, with exit code 2 for a wrong command
and 1 for a run that failed. Nothing that was already written is lost.
"""

FAULTS = {
    "Processes": [
        ("A run is killed (SIGKILL) in a training step", "The same command resumes it and ends with the same bits."),
        ("A run is killed while a checkpoint is written", "The previous checkpoint is used."),
        ("A run is killed between checkpoint and metrics", "metrics.csv has no gap and no repeated line."),
        ("SIGTERM, SIGUSR1, SIGUSR2 or Ctrl-C", "The run saves its state and ends as INTERRUPTED; the same command resumes it."),
        ("A second signal while the state is saved", "The state is saved whole."),
        ("A run calls sys.exit", "That run fails; the others continue."),
        ("A run is killed or crashes (segmentation fault)", "It is resumed up to two times; its record names the signal."),
        ("The command itself is killed", "Its runs end with it; the same command continues."),
        ("TensorBoard's files cannot be written", "The run continues without them, and says so once."),
        ("A run hangs", "After study.timeout it is ended and resumed, then FAILED (stalled)."),
        ("The loss becomes NaN or infinite", "The run is DIVERGED, with the epoch; the record is valid JSON."),
    ],
    "Resources": [
        ("GPU memory runs out", "The run starts again with half as many images at once, down to two; then it is OOM."),
        ("CPU memory runs out", "The same."),
        ("The disk fills up while a checkpoint is written", "The old one is kept, the temporary file removed, path and bytes are named."),
        ("The disk fills up in metrics or TensorBoard files", "The run fails and resumes with the same bits once there is room."),
        ("A read-only folder for outputs or cache", "An error that names study.root or data.cache."),
        ("Too many open files", "An error, with the limit as the way out."),
        ("No place for temporary files", "None is needed."),
    ],
    "Data": [
        ("A truncated picture", "An error that names the file."),
        ("A decompression bomb", "An error that names the file."),
        ("An empty class folder", "An error that names the class."),
        ("A label outside of the classes", "An error that names it."),
        ("Pictures of any mode (CMYK, 16 bits, palette, transparent), empty files, other files", "Read as a browser shows them, or named."),
        ("Stray files among class folders", "Left out and counted; none becomes a class."),
        ("A download that is cut or damaged", "It is resumed; a wrong checksum is an error."),
        ("An archive with unsafe paths or links", "An error; nothing is unpacked."),
        ("The data change under the same path", "The cache is built anew; new runs are never averaged with old ones."),
        ("Two runs build the cache at once", "One builds, the other waits."),
        ("A damaged cache", "It is built anew."),
    ],
    "Configuration": [
        ("An invalid combination in a sweep", "An error before anything starts; study.invalid=skip runs the others."),
        ("An unknown key or level", "An error with the nearest known one."),
        ("A number where a level belongs", "An error that names both spellings."),
        ("A value out of range", "An error that names the range."),
        ("One axis given twice", "An error."),
        ("Pretrained weights without a network", "An error that says how to give a local file."),
        ("A setting that nothing reads", "An error."),
        ("YAML that expands without bound", "An error within a second."),
        ("A study's name that leaves the folder", "An error."),
        ("`_target_` in a configuration", "An error: no class is made from a configuration."),
    ],
    "Records": [
        ("A record that ends anywhere", "That run is set aside by name; the others are reported."),
        ("A checkpoint with a flipped bit", "It is never resumed from; the run starts again."),
        ("Locks, names and temporary files of a process that has died", "They are no obstacle, and are removed."),
        ("A record of an earlier version", "It is read; one of a later version is an error."),
        ("A checkpoint with code in it", "The code is not run."),
        ("Other files in the folder of a study", "They are left alone and named."),
    ],
    "Several at once": [
        ("Two commands train one study", "Each run is trained by one of them."),
        ("A report while runs are written", "What has finished is reported; the rest is counted."),
        ("One run resumed by two processes", "One trains it; the other names the process."),
        ("A lock whose holder was on another machine", "The lock ended with its process; the name is only shown."),
    ],
    "Drift": [
        ("Another torch, device or number of threads", "`ablate reproduce` names what differs, before and after."),
        ("Code outside of git, or changed", "It is recorded as that, with the diff; never as clean."),
    ],
    "Hostile text": [
        ("HTML, Markdown or control characters in names", "They are shown as text, in a real browser too."),
        ("A formula in a CSV cell", "It is shown as text."),
        ("A secret in an environment variable", "Only paths may name one, and the record keeps the name."),
    ],
    "Lost work": [
        ("A run folder that cannot be written to", "That run fails; the others are trained."),
        ("No process can be started for a run", "That run fails with the system's reason."),
        ("The server that starts runs cannot start", "One sentence and exit code 1; no run is marked."),
        ("A checkpoint of another layout, or a folder in its place", "It is named, and the run starts again."),
        ("More threads than cores", "An error."),
        ("A container with a share of the cores", "The share counts as the number of cores."),
    ],
    "Wrong results": [
        ("A finished run whose metric is null or not a number", "It is set aside by name and counted nowhere."),
        ("Two folders of one run", "Equal ones count once; different ones are set aside by name."),
        ("metrics.csv that was cut", "The run is set aside by name."),
        ("A clock that was set back or is ahead", "force=true trains nevertheless."),
        ("Another value for a setting of the study", "An amendment with its date, or an error."),
        ("An infinite test loss", "The run is DIVERGED."),
    ],
    "A study from someone else": [
        ("An index that does not fit the records", "It is written anew; the records decide."),
        ("An interpolation that reads an environment variable", "An error."),
        ("A configuration that says where to write", "Your own places are used."),
        ("Commands and control characters in a record", "Commands are quoted for a shell or left out; control characters are escaped."),
        ("A configuration that expands without bound", "An error within a second."),
        ("A record with values of any type, size or nesting", "It is set aside by name."),
        ("A pipe in the place of a record", "It is set aside by name."),
    ],
    "One sentence": [
        ("A place for outputs that cannot be made", "An error that names study.root; `report --out DIR` writes elsewhere."),
        ("A disk that is full before the first checkpoint", "The run fails, with path and bytes; the same command trains it later."),
        ("seeds=0, or a negative number", "An error."),
        ("`ablate reproduce` of a damaged run", "An error that names the file."),
        ("`| head`", "The command ends quietly."),
        ("Names that are not UTF-8", "They are named, escaped."),
        ("A word that Hydra cannot read", "An error that shows where it breaks and how to quote it; paths need no quotes."),
        ("An out-of-memory error without a message", "The run is OOM, with the error's name."),
        ("A process that decodes pictures is killed", "An error that says so; the same command tries again."),
    ],
}  # fmt: skip


def tests() -> dict[int, list[str]]:
    """{fault: the tests marked with it, as file::name}, in order."""
    found: dict[int, list[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                for mark in node.decorator_list:
                    if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.fault":
                        for number in mark.args:
                            name = f"{path.relative_to(ROOT / 'tests')}::{node.name}"
                            found.setdefault(ast.literal_eval(number), []).append(name)
    return found


def table(held: dict[int, list[str]]) -> str:
    """The page, in Markdown."""
    lines, number = [HEAD], 0
    for title, faults in FAULTS.items():
        lines += [f"## {title}", "", "| | fault | what you get | tests |", "| --- | --- | --- | --- |"]
        for fault, outcome in faults:
            number += 1
            names = "<br>".join(f"`{name.partition('::')[2].removeprefix('test_')}`" for name in held.get(number, []))
            lines.append(f"| {number} | {fault} | {outcome} | {names} |")
        lines.append("")
    return "\n".join(lines)


def missing(held: dict[int, list[str]]) -> list[int]:
    """The faults without a test, and numbers in tests that are no fault's."""
    known = range(1, 1 + sum(map(len, FAULTS.values())))
    return sorted({*known} ^ {*held})


if __name__ == "__main__":
    TABLE.write_text(table(tests()))

"""What the name of a column says that it holds. Nothing here looks at values."""

import re
from dataclasses import dataclass

PARTS = {
    "test": "test", "tst": "test", "eval": "eval", "evaluation": "eval", "val": "holdout", "valid": "holdout",
    "validation": "holdout", "dev": "holdout", "holdout": "holdout", "heldout": "holdout", "train": "train",
    "training": "train",
}  # fmt: skip
# What is measured, by the names of records.metrics where it has one there.
WHAT = {
    "acc": "accuracy", "accuracy": "accuracy", "top1": "accuracy", "acc1": "accuracy", "prec1": "accuracy",
    "top5": "top5_accuracy", "acc5": "top5_accuracy", "prec5": "top5_accuracy", "bacc": "balanced_accuracy",
    "f1": "macro_f1", "auroc": "auroc", "auc": "auroc", "ece": "ece", "err": "error", "error": "error",
    "loss": "loss", "nll": "loss",
}  # fmt: skip
SHARES = ("iou", "miou", "map", "dice", "recall", "precision", "specificity", "sensitivity", "wer", "cer")
OTHERS = (
    "bleu", "rouge", "psnr", "ssim", "lpips", "fid", "perplexity", "ppl", "mse", "rmse", "mae", "r2", "kappa", "mcc",
    "score", "metric", "objective", "reward", "return",
)  # fmt: skip
LESS = ("loss", "error", "ece", "wer", "cer", "fid", "lpips", "perplexity", "ppl", "mse", "rmse", "mae")
# With these a name still says no more than what it measures.
PLAIN = (
    "best", "max", "min", "final", "last", "mean", "avg", "ema", "epoch", "rate", "macro", "weighted", "balanced",
    "percent", "pct", "model", "roc", "cross", "entropy", "set",
)  # fmt: skip
SEEDS = (
    "seed", "randomseed", "rngseed", "manualseed", "globalseed", "rep", "replicate", "repeat", "repetition", "fold",
    "trial",
)  # fmt: skip
SECONDS = (
    "runtime", "seconds", "duration", "elapsed", "walltime", "traintime", "trainingtime", "trainseconds", "totaltime",
)  # fmt: skip
STATES = ("state", "status", "runstate", "runstatus")
EPOCHS = ("epoch", "step", "globalstep", "iteration", "iter")
NAMES = ("name", "runname", "run", "id", "runid", "experimentname", "jobname", "trialname", "trialid")
# Of a run, and no choice in how it was trained.
ABOUT = (
    *NAMES, *STATES, *SECONDS, *EPOCHS, "notes", "note", "comment", "comments", "description", "user", "username",
    "owner", "author", "tags", "created", "createdat", "updated", "updatedat", "started", "startedat", "starttime",
    "ended", "endtime", "enddate", "datetimestart", "datetimecomplete", "timestamp", "date", "datetime", "time",
    "sweep", "group", "jobtype", "number", "index", "unnamed0", "experiment", "experimentid", "artifacturi", "url",
    "path", "dir", "folder", "file", "output", "outputdir", "outdir", "savedir", "logdir", "datadir", "dataroot",
    "workdir", "checkpointdir", "rank", "localrank", "loginterval", "resume", "initialcheckpoint", "wandb",
    "sourcename", "sourcetype", "lifecyclestage",
)  # fmt: skip
# Of the machine: named where it differs, but never an axis.
MACHINE = (
    "host", "hostname", "machine", "node", "gputype", "gpu", "gpucount", "gpus", "device", "devices", "cputype",
    "cpucount", "os", "platform", "python", "pythonversion", "torchversion", "commit", "gitcommit", "gitsha", "sha",
    "github", "githubrepo", "version", "worldsize", "numworkers", "workers",
)  # fmt: skip
# Measured along with the results.
MEASURED = re.compile(
    "(^|_)(params?|parameters|flops|gflops|macs|gmacs|memory|mem|throughput|fps|speed|latency|images?_(per|s)"
    "|samples?_per|steps?_per|ms|norm|bytes|mb|gb)(_|$)"
)
_SETTINGS = "params|parameters|config|hparams|hyperparameters|args"
_RESULTS = "metrics|summary"
# What exports put before a name.
PREFIX = re.compile(rf"^(?:user_attrs|system_attrs|{_SETTINGS}|{_RESULTS}|tags|sys)[./]")
OF_SETTINGS = re.compile(rf"^(?:{_SETTINGS})[./]")
OF_RESULTS = re.compile(rf"^(?:{_RESULTS})[./]")


@dataclass(frozen=True)
class Quantity:
    """What a column of results holds."""

    part: str  # test, eval, holdout or train; "" where the name says none
    what: str  # accuracy, loss, …; the column's own word for what records have no name for
    best: bool  # the best of its epochs, rather than the last

    @property
    def is_share(self) -> bool:
        """Whether it is a share of images, which people write as a fraction or as a percentage."""
        return self.what in SHARES or (self.what in (*WHAT.values(), "balanced_accuracy") and self.what != "loss")

    @property
    def less_is_better(self) -> bool:
        return self.what in LESS


def plain(column: str) -> str:
    """A column without what an export puts before it: lr of config/lr and params.lr."""
    return PREFIX.sub("", column) or column


def folded(column: str) -> str:
    """A name without case and separators."""
    return re.sub(r"[^a-z0-9]", "", plain(column).lower())


def last(column: str) -> str:
    """The last part of a dotted name, folded: seed of trainer.seed."""
    return folded(re.split(r"[./]", plain(column))[-1])


def snake(column: str) -> str:
    """A name in small letters, its words joined by underscores."""
    return re.sub(r"[^a-z0-9]+", "_", plain(column).lower()).strip("_")


def quantity(column: str, surely: bool = False) -> Quantity | None:
    """What a column of numbers measures; None for one that measures nothing, as loss_weight and grad_acc_steps.

    `surely`: it is known to be a result, so that any name is one.
    """
    name = plain(column)
    for words in (_words(name), _words(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name))):
        part = next((PARTS[word] for word in words if word in PARTS), "")
        what = next((WHAT.get(word, word) for word in words if word in (*WHAT, *SHARES, *OTHERS)), "")
        if {"cross", "entropy"} <= set(words):
            what = what or "loss"
        if what == "accuracy" and "balanced" in words:
            what = "balanced_accuracy"
        rest = [word for word in words if word not in (*PARTS, *WHAT, *SHARES, *OTHERS, *PLAIN)]
        if what and (surely or part or not rest):
            return Quantity(part, what, bool({"best", "max", "min"} & set(words)))
    return Quantity(part, snake(column), False) if surely else None


def _words(name: str) -> list[str]:
    joined = re.sub(r"\b(top|acc|prec)[ _@-]?([15])(?=\b|_)", r"\1\2", re.sub(r"_", " ", name.lower()))
    return [word for word in re.split(r"[^a-z0-9]+", joined) if word]

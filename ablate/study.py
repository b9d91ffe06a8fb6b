"""What a study is called, where it lies and how it is judged: no part of what a run is."""

import re
from dataclasses import dataclass, field

from omegaconf import MISSING

from ablate.checks import in_range, one_of
from ablate.metrics import METRICS, smallest_difference


@dataclass
class Finding:
    """What an earlier study concluded about one axis."""

    axis: str = MISSING
    question: str = MISSING
    answer: str = MISSING


@dataclass
class ReferenceConfig:
    """An earlier study's answers, which the report shows beside ours."""

    title: str = MISSING
    best: str = MISSING  # its best result, in words and figures
    findings: list[Finding] = field(default_factory=list)


@dataclass
class StudyConfig:
    name: str = "main"
    root: str = "outputs"
    design: str = "grid"
    cells: int | None = None  # combinations of a fractional design; None is the smallest good number
    baseline_seeds: int | None = None  # of the baseline of one_at_a_time, which every comparison shares
    exclude: list[str] = field(default_factory=list)  # combinations left out, as 'backbone=effnet_b7 batch_size!=b64'
    invalid: str = "refuse"  # or skip: run the others when some combinations are invalid
    metric: str = "test_accuracy"
    # The smallest difference worth caring about, in the metric's unit; None is 0.3 percentage points.
    delta: float | None = None
    reference: ReferenceConfig | None = None
    slots: int | None = None  # runs at once; None is the GPUs times runs_per_gpu, else what the CPU's cores allow
    runs_per_gpu: int = 1
    # Seconds without any sign of progress after which a run is ended as stalled. Generous, as a run may have to wait
    # for a compiler; on by default, as a run that hangs would keep the study from ever ending.
    timeout: float | None = 1800.0

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", self.name):
            raise ValueError(
                f"study.name={self.name!r} may hold letters, digits, '_', '.' and '-' only, at most 64, "
                "and starts with a letter or digit; study.root says where studies are kept"
            )
        one_of("study.design", self.design, ("grid", "one_at_a_time", "fractional"))
        one_of("study.invalid", self.invalid, ("refuse", "skip"))
        if self.cells is not None:
            in_range("study.cells", self.cells, 1)
            if self.design != "fractional":
                raise ValueError("study.cells=N is read by study.design=fractional alone; leave it out")
        if self.baseline_seeds is not None:
            in_range("study.baseline_seeds", self.baseline_seeds, 1, 10_000)
            if self.design != "one_at_a_time":
                raise ValueError("study.baseline_seeds=N is read by study.design=one_at_a_time alone; leave it out")
        one_of("study.metric", self.metric, METRICS)
        try:
            self.delta = smallest_difference(self.metric, self.delta)
        except ValueError as error:
            raise ValueError(f"study.metric={self.metric}: {error}") from None
        in_range("study.delta", self.delta, 0)
        if self.slots is not None:
            in_range("study.slots", self.slots, 1, 1024)
        in_range("study.runs_per_gpu", self.runs_per_gpu, 1, 1024)
        if self.timeout is not None:
            in_range("study.timeout", self.timeout, 1)

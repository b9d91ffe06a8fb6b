"""The methods paragraph of a paper, and the keys of what it cites."""

from ablate.records.metrics import METRICS
from ablate.report.analysis import Analysis
from ablate.report.answers.sentences import listed, smallest
from ablate.report.page import numbers
from ablate.report.paper.components import images_of
from ablate.report.stats.verdicts import Effects

DESIGNS = {
    "grid": "every combination of their levels",
    "fractional": "a fraction of the combinations of their levels, chosen so that every main effect can be estimated",
    "one_at_a_time": "a baseline and every combination that differs from it on one axis",
    "cumulative": "a baseline and the combinations that arise as components are added in a fixed order",
    "mixed": "combinations that several designs planned",
}
OF_DATA = {
    "embedded": ("xiao2017fashion", "a subset of Fashion-MNIST"),
    "fashion_mnist": ("xiao2017fashion", "Fashion-MNIST"),
    "cifar10": ("krizhevsky2009cifar", "CIFAR-10"),
    "cifar100": ("krizhevsky2009cifar", "CIFAR-100"),
    "tiny_imagenet": ("le2015tiny", "Tiny ImageNet"),
}
# {beginning of a network's name in timm: what introduced it}
OF_NETWORKS = {
    "wide_resnet": "zagoruyko2016wide",
    "resnet": "he2016deep",
    "tf_efficientnet": "tan2019efficientnet",
    "efficientnet": "tan2019efficientnet",
    "vit_": "dosovitskiy2021image",
    "convnext": "liu2022convnet",
}
OF_OPTIMIZERS = {"adam": "kingma2015adam", "adamw": "loshchilov2019decoupled"}
OF_AUGMENTATION = {
    "trivial": "muller2021trivialaugment",
    "mixup": "zhang2018mixup",
    "cutmix": "yun2019cutmix",
    "erase": "zhong2020random",
    "cutout": "devries2017improved",
}
TOOLS = ("ablate", "paszke2019pytorch", "wightman2019pytorch", "yadan2019hydra")


def paragraph(analysis: Analysis) -> str:
    """Design, training, choice, tests and error rates of the study in prose; each fact from its records."""
    return " ".join([_design(analysis), _training(analysis), *_tests(analysis)])


def _design(analysis: Analysis) -> str:
    study, plan = analysis.study, analysis.study.plan
    axes = [f"{axis} ({', '.join(levels)})" for axis, levels in study.axes.items()]
    seeds = numbers.count(len(plan.seeds), "random seed")
    runs = f"{len(study.finished)} of {numbers.count(len(study.runs), 'planned run')} finished"
    what = "set the initial weights, the order of the images, augmentation and dropout"
    if not axes:
        return f"We trained one configuration with {seeds}, which {what} ({runs})."
    return (
        f"We compared {listed(axes)} by {DESIGNS[plan.design]}: {len(plan.cells)} combinations with {seeds} each, "
        f"which {what} ({runs})."
    )


def _training(analysis: Analysis) -> str:
    study = analysis.study
    name = study.plan.settings_of(study.plan.cells[0]).get("data.name", "")
    data = OF_DATA.get(name, ("", name))[1] or "one data set"
    test = images_of(analysis).replace(", judged", " and judged")
    epochs = " or ".join(str(n) for n in study.epochs_planned)
    trained = f" for {epochs} epoch{'' if epochs == '1' else 's'}" if epochs else ""
    return (
        f"Networks were trained{trained} on {data}{test}; results are those after the last epoch. The best combination "
        "was chosen on a holdout of the training set, which is the same for all seeds; the test set chose nothing."
    )


def _tests(analysis: Analysis) -> list[str]:
    effects = analysis.effects
    if effects.noise is None or not effects.axes:
        return []
    family = "Tukey's method for all pairs" if effects.family == "tukey" else "Dunnett's method against the baseline"
    found = [
        f"Effects on {METRICS[effects.metric].label} were estimated by {_estimator(effects)} "
        f"({effects.noise.df:.4g} residual degrees of freedom). Within an axis we used {family}; the error rate of "
        f"{100 * effects.axes_rate:.3g} % was divided over the axes, so that all intervals hold at once. A difference "
        f"was called negligible if an equivalence test placed it within {smallest(effects)}{_changed(analysis)}."
    ]
    if effects.interactions:
        found.append(
            f"{numbers.count(len(effects.interactions), 'two-way interaction')} were tested by F-tests with Holm's "
            f"adjustment at {100 * (effects.error_rate - effects.axes_rate):.2g} %."
        )
    if effects.looks > 1:
        found.append(
            f"Runs were added after {numbers.count(effects.looks - 1, 'look')} at the results; this analysis allows "
            f"for it by an error rate of {100 * effects.error_rate:.2g} %."
        )
    return found


def _changed(analysis: Analysis) -> str:
    """Whether the margin was set beforehand, as the plan's amendments know."""
    plan = analysis.study.plan
    late = [one for one in plan.amendments if one.after_a_report and "study.delta" in one.changes]
    if late or plan.smallest != analysis.effects.delta or analysis.declared_metric != analysis.effects.metric:
        return ", a margin that was set after results had been looked at"
    return ", a margin set before the results were looked at"


def _estimator(effects: Effects) -> str:
    if effects.design in ("one_at_a_time", "cumulative"):
        return "differences of combinations within seeds"
    return "least squares on main effects and two-way interactions with seeds as blocks"


def cited(analysis: Analysis) -> list[str]:
    """The keys of what the study used, in the order of the text."""
    keys = dict.fromkeys(TOOLS)
    settings = [analysis.study.plan.settings_of(cell) for cell in analysis.study.plan.cells]
    for of in settings:
        keys |= dict.fromkeys([OF_DATA.get(of.get("data.name", ""), ("", ""))[0]])
        name = of.get("backbone.name", "")
        keys |= dict.fromkeys([next((key for start, key in OF_NETWORKS.items() if name.startswith(start)), "")])
        keys |= dict.fromkeys([OF_OPTIMIZERS.get(of.get("optimizer.name", ""), "")])
        used = [key for setting, key in OF_AUGMENTATION.items() if _is_on(of.get(f"augment.{setting}", ""))]
        keys |= dict.fromkeys(used)
    effects = analysis.effects
    if effects.noise is not None and effects.axes:
        keys |= dict.fromkeys(["tukey1953problem" if effects.family == "tukey" else "dunnett1955multiple"])
        keys |= dict.fromkeys(["berger1982multiparameter"])
        if effects.interactions:
            keys |= dict.fromkeys(["holm1979simple"])
    return [key for key in keys if key]


def _is_on(value: str) -> bool:
    return value not in ("", "0", "0.0", "false", "null")

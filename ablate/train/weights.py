"""Weights from a file, whoever saved it: found by names and shapes, and read without running any code.

Of a file that holds several networks (an average beside the plain weights, a teacher beside a student) the plain ones
are taken, by the names that they go by: state_dict, model, model_state_dict, module. Where none of these fits and
several others do, the file is refused. A classifier is left out, as the head is new; whatever else a file holds of
other kinds (an optimizer, arguments, an epoch) is not read.
"""

import pickle
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from ablate.config.pretrained import PACKAGES
from ablate.data.pictures import formats

PLAIN = ("", "state_dict", "model", "model_state_dict", "module")
DEPTH = 3  # dictionaries in each other; those of an optimizer lie deeper, and are none of ours
SHOWN = 3  # keys that a message names
# Counters and tables that some versions keep and others compute.
COMPUTED = ("num_batches_tracked", "relative_position_index", "attn_mask", "relative_coords_table")
State = Mapping[str, Tensor]


class Unread(list[Any]):
    """Stands for an object of a class that is not loaded, or for what a function of a file would return: no code of it
    is run. A list, as torch appends to nothing else."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, _: Any) -> None:
        pass


class UnreadMapping:
    """The same where the file sets items; what comes of it is a dictionary."""

    def __new__(cls, *_: Any, **__: Any) -> OrderedDict[Any, Any]:  # type: ignore[misc]
        return OrderedDict()


def load_weights(body: Any, name: str, file: str, *, only_check: bool = False) -> None:
    """Load a file's weights into a timm model. Raises ValueError, with the file's keys, where they do not fit."""
    expected = body.state_dict()
    found = dict(_states("", read(file)))
    fitting = {
        place: fits for place, state in found.items() if (fits := _prefixes_that_fit(state, expected))
    }  # {where it lies: what stands before the names}
    if not fitting and name in PACKAGES and "" in found and len(found[""]) >= len(expected):
        found[""] = dict(zip(expected, found[""].values(), strict=False))  # timm's order under other names
        fitting = {"": [""]} if "" in _prefixes_that_fit(found[""], expected) else {}
    if not fitting:
        raise ValueError(f"backbone.weights={file} does not fit {name}: {_why_not(found, expected)}")
    plain = [place for place in PLAIN if place in fitting][:1] or list(fitting)
    networks = [(place, prefix) for place in plain for prefix in ([""] if "" in fitting[place] else fitting[place])]
    if len(networks) > 1:
        named = ", ".join(".".join(filter(None, (place, prefix.rstrip(".")))) for place, prefix in networks)
        raise ValueError(
            f"backbone.weights={file} holds several networks that fit {name} ({named}); save the one that is meant "
            "to a file of its own"
        )
    place, prefix = networks[0]
    state = {key.removeprefix(prefix): value for key, value in found[place].items() if key.startswith(prefix)}
    _refuse_another_network(state, expected, body, name, file)
    if not only_check:
        same = {key: _shape(state.get(key)) == value.shape for key, value in expected.items()}
        body.load_state_dict({key: state[key] if same[key] else value for key, value in expected.items()})


def read(file: str) -> Any:
    """What a safetensors or PyTorch file holds, told by content; no code of it is run. Raises ValueError."""
    try:
        with open(file, "rb") as opened:
            head = opened.read(4096)
    except OSError as error:
        raise ValueError(f"backbone.weights={file} cannot be read: {error.strerror}") from None
    if (kind := formats.kind_of(head)) in ("Git LFS pointer", "web page") or not head:
        what = f"is a {kind}" if head else "is empty"
        raise ValueError(f"backbone.weights={file} {what} and holds no weights; get them anew")
    try:
        return load_file(file) if head[8:9] == b"{" else _without_code(file)
    except Exception as error:  # torch, pickle, zip files and safetensors each raise their own
        if "blocked" in str(error):
            raise ValueError(
                f"backbone.weights={file} contains code, which is never run; get the weights from another source"
            ) from None
        raise ValueError(
            f"backbone.weights={file} cannot be read: it is no whole file of PyTorch or safetensors"
        ) from None


def _without_code(file: str) -> Any:
    """A PyTorch file, in which classes and functions that torch does not know to be harmless are left unread."""
    unread: list[str] = []
    stand_in: type = Unread
    while True:
        try:
            safe = torch.serialization.safe_globals([(stand_in, name) for name in unread])
            with safe, open(file, "rb") as opened:  # by its name, torch would take it for another kind
                return torch.load(opened, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            named = re.search(r"GLOBAL (\S+) was not an allowed global", str(error))
            if named is not None and _full(named[1]) not in unread:
                unread.append(_full(named[1]))
            elif "Can only SETITEM" in str(error) and stand_in is Unread:
                stand_in = UnreadMapping
            else:
                raise


def _full(name: str) -> str:
    return name if "." in name else f"builtins.{name}"


def _states(place: str, value: Any, depth: int = 0) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """(where it lies, the tensors) of every dictionary with tensors, from the outside in."""
    if not isinstance(value, Mapping) or depth > DEPTH:
        return
    tensors = {key: tensor for key, tensor in value.items() if isinstance(key, str) and isinstance(tensor, Tensor)}
    if tensors:
        yield place, tensors
    for key, inner in value.items():
        if isinstance(key, str):
            yield from _states(f"{place}.{key}" if place else key, inner, depth + 1)


def _prefixes_that_fit(state: State, expected: State) -> list[str]:
    """All that stand before every expected name in a file, with the expected shapes, the shortest first."""
    needed = [key for key in expected if not key.endswith(COMPUTED)]
    longest = max(needed, key=len)
    prefixes = sorted({key.removesuffix(longest) for key in state if key.endswith(longest)})
    return [
        prefix
        for prefix in sorted(prefixes, key=len)
        if all(_shape(state.get(prefix + key)) == expected[key].shape for key in needed)
    ]


def _shape(tensor: Tensor | None) -> torch.Size | None:
    return None if tensor is None else tensor.shape


def _refuse_another_network(state: State, expected: State, body: Any, name: str, file: str) -> None:
    """A deeper network holds all that a shallower one expects; what is left over then belongs to the same parts."""
    classifier = body.pretrained_cfg.get("classifier") or ()
    heads = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    parts = {key.partition(".")[0] for key in expected if "." in key}
    more = [
        key
        for key in state
        if key not in expected and key.partition(".")[0] in parts and not key.endswith(COMPUTED)
        and not key.startswith(tuple(f"{head}." for head in heads))
    ]  # fmt: skip
    if more:
        raise ValueError(
            f"backbone.weights={file} is of another network than {name}: it holds {len(more)} tensors more, {more[0]} "
            "the first"
        )


def _why_not(found: Mapping[str, State], expected: State) -> str:
    """The file's keys beside those that were expected."""
    if not found:
        return "it holds no tensors by name"
    place, state = max(found.items(), key=lambda item: len(item[1]))
    inside = f" under {place}" if place else ""
    most = max(_prefixes(state, expected), key=lambda prefix: _fits(prefix, state, expected), default="")
    fit = _fits(most, state, expected)
    if not fit:
        return (
            f"its {len(state)} tensors{inside} are called {_some(state)}, where {len(expected)} are expected, called "
            f"{_some(expected)}"
        )
    wrong = next(key for key in expected if _shape(state.get(most + key)) != expected[key].shape)
    there = state.get(most + wrong)
    has = "is missing" if there is None else f"is {tuple(there.shape)} and not {tuple(expected[wrong].shape)}"
    return (
        f"{len(expected) - fit} of {len(expected)} tensors are missing or of another shape, {wrong} the first, which "
        f"{has} (the file has {_some(state)})"
    )


def _prefixes(state: State, expected: State) -> set[str]:
    return {key.removesuffix(wanted) for wanted in list(expected)[:SHOWN] for key in state if key.endswith(wanted)}


def _fits(prefix: str, state: State, expected: State) -> int:
    return sum(_shape(state.get(prefix + key)) == value.shape for key, value in expected.items())


def _some(state: State) -> str:
    keys = list(state)
    return ", ".join(keys[:SHOWN]) + (", …" if len(keys) > SHOWN else "")

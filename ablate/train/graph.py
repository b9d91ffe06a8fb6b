"""On CUDA: work that starts thousands of kernels, recorded once as a graph and then started by one call.

Python and the driver start kernels more slowly than a fast GPU computes them on small images. A graph is used only
where it has given the same bits as the work itself, which is tried on a real batch when it is recorded.
"""

import gc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

WARM = 2  # calls before a graph is recorded: kernels and libraries choose and allocate in the first ones


class NotRecovered(RuntimeError):
    """A graph could not be recorded, and CUDA cannot be used any more."""


class NoRoomForGraphs(Exception):
    """Memory ran out where graphs hold some of it: the same is to be tried without them."""


def why_not(network: nn.Module, device: torch.device, *, wanted: bool, compiled: bool, deterministic: bool) -> str:
    """Why a network is trained without graphs; "" where one is tried."""
    if device.type != "cuda":
        return f"there are none on {device.type}"
    if not wanted:
        return "trainer.graph=false"
    if compiled:
        return "trainer.compile=true"
    if deterministic and any(hasattr(module, "relative_position_bias_table") for module in network.modules()):
        # pytorch#105439: the backward pass of an indexing, made deterministic, waits for the device.
        return "a table of positions has no deterministic backward pass that can be recorded"
    return ""


class Replayed:
    """A function of tensors, as it is or as graphs of it, one for each shape of what it is given.

    `network` is the one whose gradients and buffers it changes, besides `sums`; None where it changes nothing. Inputs
    may be None. What a graph returns is overwritten by its next call.
    """

    def __init__(
        self,
        function: Callable[..., Tensor | None],
        why_not: str,
        network: nn.Module | None = None,
        sums: Sequence[Tensor] = (),
    ) -> None:
        self.function, self.network, self.sums = function, network, sums
        self.why_not = why_not  # why it is called as it is; "" while graphs are tried or used
        self.graphs: dict[Any, tuple[Callable[[], None], list[Tensor | None], Tensor | None]] = {}
        self.calls: Counter[Any] = Counter()
        self.pool: Any = None  # the memory that all its graphs share
        # What only predicts is recorded on a stream of its own: when a graph goes, so do cuBLAS's workspaces of the
        # stream that it was recorded on, which others may use (pytorch#193402). Training is recorded on the stream
        # that trains, to which its AccumulateGrad nodes belong (pytorch#180090).
        self.stream: Any = (
            torch.cuda.Stream() if network is None and not why_not and torch.cuda.is_available() else None
        )

    @property
    def keeps_gradients(self) -> bool:
        """Whether gradients lie where a graph writes them, so that they may be overwritten and not taken away."""
        return bool(self.graphs)

    def __call__(self, *inputs: Tensor | None, kind: int = 0, seed: Callable[[], None] = lambda: None) -> Tensor | None:
        """Call it, with what it draws from set by `seed` before. `kind` tells calls apart that begin in another state:
        the first of a batch finds no gradients."""
        key = (kind, *(None if x is None else (x.shape, x.dtype, x.stride()) for x in inputs))
        if self.why_not:
            seed()
            return self.function(*inputs)
        if key in self.graphs:
            replay, given, output = self.graphs[key]
            for place, value in zip(given, inputs, strict=True):
                if place is not None and value is not None:
                    place.copy_(value)
            seed()
            replay()
            return output
        if self.network is not None and not kind and self.graphs:
            # Gradients would be written to other places than those that the later micro-batches add to.
            self._give_up("batches differ in shape")
            self._take_gradients_away()
        self.calls[key] += 1
        if self.why_not or self.calls[key] <= WARM or (kind and not self.graphs):
            seed()
            return self.function(*inputs)
        return self._record(key, inputs, seed)

    def _record(self, key: Any, inputs: Sequence[Tensor | None], seed: Callable[[], None]) -> Tensor | None:
        """Call the function, record it, replay it from the same state; keep the graph if nothing differs in a bit."""
        try:
            before = self._state()
            seed()
            output = self.function(*inputs)
            expected, found = self._state(), output if output is None else output.clone()
            self._put_back(before)
            given = [None if x is None else x.clone() for x in inputs]
        except torch.OutOfMemoryError as error:  # for the copies, or for the function itself, which will be found out
            raise NoRoomForGraphs from error
        failed = ""
        try:
            replay, recorded, self.pool = record(lambda: self.function(*given), self.pool, self.stream)
            seed()
            replay()
        except RuntimeError as error:  # lack of memory among them: the function itself has just had enough
            failed = " ".join(str(error.__context__ or error).split())[:200] or type(error).__name__
        if failed:  # only here, where the exception and all that its frames held are gone
            del given, expected, found, output
            self._give_up(f"it cannot be recorded: {failed}")
            return self._without(before, inputs, seed)
        same = self._equals(expected) and (
            found is None or (recorded is not None and torch.equal(recorded.nan_to_num(), found.nan_to_num()))
        )
        if not same:
            self._give_up("its graph gives other bits")
            self._put_back(expected)
            return found
        self.graphs[key] = (replay, given, recorded)
        return recorded

    def _without(
        self, before: dict[str, Tensor], inputs: Sequence[Tensor | None], seed: Callable[[], None]
    ) -> Tensor | None:
        """Call the function after a recording has failed, from the state before it."""
        try:
            self._put_back(before)
            seed()
            return self.function(*inputs)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise NotRecovered(f"{self.why_not}; trainer.graph=false trains without graphs") from error

    def _take_gradients_away(self) -> None:
        if self.network is not None:
            for parameter in self.network.parameters():
                parameter.grad = None

    def _give_up(self, why: str) -> None:
        self.why_not = why
        self.graphs.clear()

    def _places(self) -> Iterator[tuple[str, Tensor]]:
        """Everything that the function changes in place, by name."""
        if self.network is not None:
            yield from self.network.named_buffers()
            for name, parameter in self.network.named_parameters():
                if parameter.grad is not None:
                    yield f"gradient of {name}", parameter.grad
        yield from ((f"sum {number}", value) for number, value in enumerate(self.sums))

    def _state(self) -> dict[str, Tensor]:
        return {name: place.detach().clone() for name, place in self._places()}

    @torch.no_grad()
    def _put_back(self, state: dict[str, Tensor]) -> None:
        """Bring back an earlier state; gradients that it did not have are taken away, and those it had come back."""
        if self.network is not None:
            for name, parameter in self.network.named_parameters():
                kept = state.get(f"gradient of {name}")
                if kept is None or parameter.grad is None:
                    parameter.grad = kept
        for name, place in self._places():
            place.copy_(state[name])

    def _equals(self, state: dict[str, Tensor]) -> bool:
        now = dict(self._places())
        return now.keys() == state.keys() and all(
            torch.equal(now[name].nan_to_num(), value.nan_to_num()) for name, value in state.items()
        )


def record(
    work: Callable[[], Tensor | None], pool: Any, stream: Any = None
) -> tuple[Callable[[], None], Tensor | None, Any]:
    """Record some work as a graph, on a stream or the current one; return what replays it, what it returns, and its
    memory pool, to be shared.

    Raises RuntimeError for work that cannot be recorded, as it waits for the device.
    """
    gc.collect()  # or an old graph may be destroyed while this one is recorded
    torch.cuda.manual_seed(0)  # another seed than that of any step: one that was recorded would show in the bits
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, pool=pool, stream=stream or torch.cuda.current_stream()):
        output = work()
    return graph.replay, output, graph.pool()


def own_stream(device: torch.device) -> Any:
    """A context in which kernels are started on a stream of its own, as graphs need; on a CPU it does nothing."""
    if device.type != "cuda":
        return nullcontext()
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    return torch.cuda.stream(stream)

"""Proximal methods as torch.optim optimizers."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from optkit import validate
from optkit.algorithms import ProximalMethod
from optkit.core import Regularizer, StoppingRule, SubproblemSolver
from optkit.kernels import AUTO, check
from optkit.solvers import SubgradientNorm
from optkit.structure import Structure

from .checkpoint import VERSION, refuse_others
from .graphs import DeviceSteps, refuse, refuse_kernel, refuse_tensors
from .outcomes import Tally
from .recipe import Factory, Recipe
from .restarting import steps
from .state import plain, unpack
from .stepping import HostSteps
from .updates import work

Params = Iterable[Tensor] | Iterable[tuple[str, Tensor]] | Iterable[dict[str, Any]]


class Certificate(NamedTuple):
    """What is known of the subproblems' solutions.

    residual: the left side of (7) over all parameters at the last step, None before the first;  uncertified: how many
    solves stopped at their iteration limit;  sum_of_squares: that of the tolerances epsilon_t since the last restart,
    the largest of the groups that have a SubgradientNorm, None without one.
    """

    residual: float | None
    uncertified: int
    sum_of_squares: float | None


class MethodOptimizer(torch.optim.Optimizer):
    """Any proximal method as an optimizer: MethodOptimizer(params, factory, lr=..., ...).

    params: tensors, (name, tensor) pairs, or groups {"params": [...], "regularizer": GroupLasso(1e-4, axes=0),
    "lr": ..., "solver": ..., "stopping": ...}, most easily those of `regularize(model, psi)`. A group without a
    regularizer is unregularized. Groups keep plain data only: parts are stored as mappings, see optkit.registry.
    factory: a function (psi, *, solver, stopping, hyper-parameters by keyword) that returns a ProximalMethod, such as
    optkit.algorithms.ramda; its other parameters become keys of the groups.
    nonfinite: "raise", or "skip" to leave everything as it is when a gradient holds NaN or infinity (`skipped` counts;
    every step then waits for the device, unless capturable).
    maximize: go up the loss instead of down; a key of the groups, as in torch.optim.
    kernel: which code takes the steps: "auto", the fastest there is, "reference", the method's own parts, or the name
    of a kernel ("numba"; see optkit.kernels). The results are the same up to rounding, and `optimizer.kernel` may
    change at any time.
    capturable: whether CUDA graphs may hold a step. Nothing in a step then waits for the device, and what it counts is
    there. Groups may change as ever, but a graph takes that up, a restart included, with `before_replay()` only. A
    restart begins for all parameters at once, and a gradient that is finite but so large that a sum could overflow
    counts as one that is not. For methods and regularizers that the kernel "triton" knows, on one CUDA device. State is
    allocated by the first steps, which are to be taken before the capture, on a side stream, with the gradients in the
    arrays where they stay:

        static = torch.zeros(32, 10, device="cuda")
        def train():
            optimizer.zero_grad(set_to_none=False)
            loss(model(static)).backward()
            optimizer.step()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                train()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            train()
        for batch in batches:
            static.copy_(batch)
            optimizer.before_replay()
            graph.replay()

    A group also holds `method` (the factory's name), `ramp` (after which of its steps the averaging began to ramp up,
    or None) and `pending_restart` (what the next step begins with). The structure is in What_t, which
    `structured(model, optimizer)` puts into the model; the parameters themselves reach it at the end of a run whose
    averaging ramps up to 1 (`ramp()`, `restart(ramp=True)`, or StageScheduler).

    bf16 and fp16 parameters have float32 state. Raises TypeError or ValueError, naming the parameter or key, for an
    empty list, tensors that are no floating-point numbers, shapes that the regularizer does not fit and values out of
    range.
    """

    _lent = 0  # how many blocks `with structured(...)` are open; not copied

    def __init__(
        self,
        params: Params,
        factory: Factory,
        *,
        regularizer: Regularizer | None = None,
        solver: SubproblemSolver | None = None,
        stopping: StoppingRule | None = None,
        nonfinite: Literal["raise", "skip"] = "raise",
        maximize: bool = False,
        kernel: str = AUTO,
        capturable: bool = False,
        **hyperparameters: Any,
    ) -> None:
        validate.choice("nonfinite", nonfinite, ("raise", "skip"))
        validate.flag("maximize", maximize)
        validate.flag("capturable", capturable)
        if capturable:
            refuse_kernel(kernel)
        check(kernel)
        self.recipe, self.nonfinite, self._kernel = Recipe(factory), nonfinite, kernel
        self.capturable, self.tally = capturable, Tally()  # in which the steps count what happens
        self._steps: HostSteps | DeviceSteps | None = None
        if isinstance(params, (Tensor, dict)):
            raise TypeError(f"params must be a list of tensors or groups, got one {type(params).__name__}; give [it]")
        listed: list[Any] = list(params)
        if not listed:
            raise ValueError("params is empty; give the parameters of a model, for example model.parameters()")
        parts = {"regularizer": regularizer, "solver": solver, "stopping": stopping}
        state = {"method": self.recipe.name, "ramp": None, "pending_restart": None, "maximize": maximize}
        super().__init__(listed, {**self.recipe.defaults({**parts, **hyperparameters}), **state})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group as torch.optim does; it is checked first and its parts are stored as plain data."""
        if not isinstance(param_group, dict):
            raise TypeError(f"a parameter group must be a dict, got {type(param_group).__name__}")
        if "params" not in param_group:
            raise ValueError(
                f"a parameter group needs the key 'params', got {', '.join(map(repr, param_group)) or 'none'}"
            )
        group = self.recipe.plain(param_group)
        params = group["params"]
        if isinstance(params, (set, frozenset)):
            raise TypeError("the parameters of a group must be ordered, got a set; give a list")
        group["params"] = [params] if isinstance(params, Tensor) else list(params)
        if self.capturable:
            refuse_tensors({**self.defaults, **group})
        method = self.method({**self.defaults, **group})
        for i, item in enumerate(group["params"]):
            name, parameter = item if isinstance(item, tuple) else (f"parameter {i} of the group", item)
            if isinstance(parameter, Tensor):  # torch.optim refuses the rest in its own words
                method.check(f"{name} (shape {tuple(parameter.shape)})", parameter)
                if self.capturable:
                    refuse(name, method, parameter)
        self._learn()
        if isinstance(self._steps, DeviceSteps) and self._steps.captured:
            raise ValueError("a CUDA graph holds the steps of this optimizer; add all groups before the capture")
        super().add_param_group(group)
        self._steps = None

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of every parameter that has a gradient; all of them or, if anything is wrong, none.

        closure: evaluates the model again and returns the loss. Returns the closure's loss, or None.

        Raises ValueError, naming the parameter, for a gradient that is sparse or, unless nonfinite="skip", not finite.
        On CUDA nothing waits for the device to know the latter (but for solvers and stopping rules that look at
        numbers): from such a step on nothing changes any more, and the error comes with a later step, or with whatever
        asks for state or structure. Raises ValueError in the capture of a CUDA graph where `capturable` asks for steps
        before it, RuntimeError inside `structured`.
        """
        if self._lent:
            raise RuntimeError("step() inside `with structured(...)`: the model holds What_t there; leave it first")
        self._learn(wait=False)
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if self._steps is None:
            self._steps = DeviceSteps(self) if self.capturable else HostSteps()
        self._steps.step(self)
        return loss

    @torch.no_grad()
    def before_replay(self) -> None:
        """Before the replay of a CUDA graph that holds a step: bring to the device what changed on the host, such as
        lr, restart(), ramp() and load_state_dict(); the replay itself does not look.

        Waits for nothing (but for the count of steps, where a restart meets a ramp that goes on), and does nothing
        before the first step. Raises ValueError for what the graph can not take up (another regularizer or maximize),
        if capturable is False, and for steps of which it is known that they went wrong. Of several graphs only the
        one captured last is looked at: those from before another regularizer or maximize are not to be replayed.
        """
        if not self.capturable:
            raise ValueError("before_replay() is for CUDA graphs, which cannot hold these steps; pass capturable=True")
        self._learn(wait=False)
        if isinstance(self._steps, DeviceSteps):
            self._steps.before_replay(self)

    @property
    def kernel(self) -> str:
        """Which code takes the steps: "auto", "reference" or the name of a kernel. May be set at any time."""
        return self._kernel

    @kernel.setter
    def kernel(self, name: str) -> None:
        check(name)
        if self.capturable:
            refuse_kernel(name)
        self._learn()
        self._kernel = name
        self._forget()

    def _learn(self, wait: bool = True) -> None:
        """Take note of how steps went: of all, or of those that are known without waiting for the device."""
        if self._steps is not None:
            self._steps.learn(self, wait)

    @property
    def skipped(self) -> int:
        """How many steps were skipped, with nonfinite="skip". Waits for the device."""
        self._learn()
        return self.tally.skipped

    @skipped.setter
    def skipped(self, count: int) -> None:
        self._learn()
        self.tally.skipped = count

    @property
    def uncertified(self) -> int:
        """How many subproblem solves stopped at their iteration limit. Waits for the device."""
        self._learn()
        return self.tally.uncertified

    def _forget(self) -> None:
        """Prepare the next step anew: state or kernel changed from outside. Capturable steps, which a graph may hold,
        see that for themselves."""
        if isinstance(self._steps, HostSteps):
            self._steps = None

    def restart(self, epsilon_scale: float = 1.0, ramp: bool = False) -> None:
        """Begin a new stage with the next step: t, alpha and both accumulators at 0, anchored at the present weights.

        epsilon_scale: > 0, the factor on the metric's epsilon, if it has one;  ramp: from then on the averaging is
        c_t = min(c sqrt(t), 1); a ramp that began before goes on. Until the next step What_t is that of the stage that
        ends.

        Reference: RAMDA paper (NeurIPS 2024), appendix A.1.
        """
        validate.positive("epsilon_scale", epsilon_scale)
        validate.flag("ramp", ramp)
        self._learn()
        if ramp:
            self._has_averaging("restart() without ramp")
        for group in self.param_groups:
            earlier = group["pending_restart"] or {"epsilon_scale": 1.0, "ramp": False}
            group["pending_restart"] = {
                "epsilon_scale": earlier["epsilon_scale"] * epsilon_scale,
                "ramp": earlier["ramp"] or ramp,
            }

    def ramp(self) -> None:
        """Ramp the averaging up from the next step on: c_k = min(c sqrt(k), 1), k = 1, 2, ... counting the steps.

        For the end of a run: the weights reach What_t and its structure.

        Reference: RAMDA paper (NeurIPS 2024), appendix A.1.
        """
        self._has_averaging("ramp() on RAMDA or RMDA")
        self._learn()
        for group in self.param_groups:
            if group["pending_restart"]:
                group["pending_restart"] = {**group["pending_restart"], "ramp": True}
            else:
                group["ramp"] = steps(self.state, group)

    def _has_averaging(self, remedy: str) -> None:
        if "averaging" not in self.defaults:
            raise ValueError(f"{self.defaults['method']} has no averaging to ramp up; call {remedy}")

    @torch.no_grad()
    def structured_value(self, parameter: Tensor, group: dict[str, Any]) -> Tensor:
        """What_t for a parameter of the group, in float32 for bf16 and fp16 parameters; the parameter before a step."""
        self._learn()
        w = work(parameter)
        if not self.state.get(parameter):
            return w
        method = self.method_of(parameter, group)
        return method.structured(w, unpack(self.state[parameter], method))

    def regularized(self) -> Iterator[tuple[str, Tensor, dict[str, Any]]]:
        """The name (or "group.index" without names), the parameter and its group, of each regularized parameter."""
        for i, group in enumerate(self.param_groups):
            if group["regularizer"] is not None:
                for j, parameter in enumerate(group["params"]):
                    yield group["param_names"][j] if "param_names" in group else f"{i}.{j}", parameter, group

    def structure(self) -> Structure:
        """The active manifold of What_t for each regularized parameter, by name (see `regularized`), with the weighted
        group sparsity and the low-rank level of all. Waits for the device."""
        return Structure(
            {
                name: self.method(group).psi.manifold(self.structured_value(parameter, group))
                for name, parameter, group in self.regularized()
            }
        )

    def certificate(self) -> Certificate:
        """What is known of the subproblems' solutions: see Certificate. Waits for the device."""
        self._learn()
        residuals = [float(residual) for residual in self.tally.residuals.values()]
        squares = [rule.sum_of_squares(t) for rule, t in self._tolerances()]
        return Certificate(
            residual=math.hypot(*residuals) if residuals else None,
            uncertified=self.tally.uncertified,
            sum_of_squares=max(squares, default=None),
        )

    def _tolerances(self) -> Iterator[tuple[SubgradientNorm, int]]:
        """The SubgradientNorm of each group that has one, with the steps of its parameters since the last restart."""
        for group in self.param_groups:
            stopping = self.method(group).stopping
            if isinstance(stopping, SubgradientNorm):
                yield stopping, steps(self.state, group)

    def state_dict(self) -> dict[str, Any]:
        """As in torch.optim, with `optkit`: the version of the format and the counts of skipped and uncertified."""
        self._learn()
        own = {"version": VERSION, "skipped": self.tally.skipped, "uncertified": self.tally.uncertified}
        data = super().state_dict()
        data["state"] = {index: plain(entry) for index, entry in data["state"].items()}
        groups = [{key: _own(value) for key, value in group.items()} for group in data["param_groups"]]
        return {**data, "param_groups": groups, "optkit": own}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As in torch.optim, but state keeps its dtype (float32 for bf16 parameters), and nothing is changed where the
        checkpoint is of another version, method, regularizer or shape: ValueError names what differs."""
        refuse_others(self, state_dict)
        self._learn()
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "optkit"})
        own = state_dict["optkit"]
        self.tally = Tally(own["skipped"], own["uncertified"])
        self._forget()
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        indices = [index for group in state_dict["param_groups"] for index in group["params"]]
        for parameter, index in zip(parameters, indices, strict=True):
            if index in state_dict["state"]:
                self.state[parameter] = {
                    key: value.to(parameter.device, copy=True) if isinstance(value, Tensor) else value
                    for key, value in state_dict["state"][index].items()
                }

    def method(self, group: dict[str, Any]) -> ProximalMethod:
        """The method that the plain data of a parameter group describe."""
        return self.recipe.method(group)

    def method_of(self, parameter: Tensor, group: dict[str, Any]) -> ProximalMethod:
        """The method that took the last step of a parameter of the group: the group's, but with the metric's epsilon
        from before the restarts since then."""
        epsilon = self.state.get(parameter, {}).get("stale")
        return self.method(group if epsilon is None else {**group, "epsilon": epsilon})

    def __getstate__(self) -> dict[str, Any]:
        """For pickle and copy.deepcopy: torch.optim keeps only the groups and the state."""
        self._learn()
        own = {key: value for key, value in vars(self).items() if key in _OWN}
        data = super().__getstate__()
        state = defaultdict(dict, {parameter: plain(entry) for parameter, entry in data["state"].items()})
        return {**data, **own, "state": state, "_steps": None}

    def called(self, parameter: Tensor) -> str:
        """The name of a parameter, or its place."""
        places = [(i, j) for i, g in enumerate(self.param_groups) for j, p in enumerate(g["params"]) if p is parameter]
        i, j = places[0]
        names = self.param_groups[i].get("param_names")
        return names[j] if names else f"parameter {j} of group {i}"

    def described(self, parameter: Tensor) -> str:
        """Its name and shape."""
        return f"{self.called(parameter)} (shape {tuple(parameter.shape)})"


_OWN = ("recipe", "nonfinite", "capturable", "_kernel", "tally")


def unwrapped(optimizer: Any) -> Any:
    """The optimizer of optkit inside a training framework's wrapper; any other object as it is."""
    inner = getattr(optimizer, "optimizer", None)
    return inner if isinstance(inner, MethodOptimizer) else optimizer


def _own(value: Any) -> Any:
    """The value, copied if it is a tensor: schedulers write into an lr that is one."""
    return value.clone() if isinstance(value, Tensor) else value

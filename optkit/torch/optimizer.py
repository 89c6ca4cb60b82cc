"""Proximal methods as torch.optim optimizers."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from optkit import validate
from optkit.algorithms import ProximalMethod, warn_uncertified
from optkit.core import Regularizer, StoppingRule, SubproblemSolver
from optkit.kernels import AUTO, Task, check, choose
from optkit.solvers import SubgradientNorm
from optkit.structure import Structure

from .checkpoint import VERSION, refuse_others
from .outcomes import DEFERRED, Outcome, Snapshot, masked
from .recipe import Factory, Recipe
from .repeating import Repeat
from .state import pack, unpack
from .updates import Due, Update, bounds, computed, due, fused, known, sizes, work

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
    every step then waits for the device).
    maximize: go up the loss instead of down; a key of the groups, as in torch.optim.
    kernel: which code takes the steps: "auto", the fastest there is, "reference", the method's own parts, or the name
    of a kernel ("numba"; see optkit.kernels). The results are the same up to rounding, and `optimizer.kernel` may
    change at any time.

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
        **hyperparameters: Any,
    ) -> None:
        validate.choice("nonfinite", nonfinite, ("raise", "skip"))
        validate.flag("maximize", maximize)
        check(kernel)
        self.recipe, self.nonfinite, self._kernel = Recipe(factory), nonfinite, kernel
        self.skipped = 0
        self._uncertified = 0
        self._residuals: dict[Tensor, Any] = {}
        self._repeat: Repeat | None = None
        self._ok: Tensor | None = None  # on the device: whether all steps went well that it has not told of yet
        self._outcomes: list[Outcome] = []
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
        method = self.method({**self.defaults, **group})
        for i, item in enumerate(group["params"]):
            name, parameter = item if isinstance(item, tuple) else (f"parameter {i} of the group", item)
            if isinstance(parameter, Tensor):  # torch.optim refuses the rest in its own words
                method.check(f"{name} (shape {tuple(parameter.shape)})", parameter)
        super().add_param_group(group)
        self._repeat = None

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of every parameter that has a gradient; all of them or, if anything is wrong, none.

        closure: evaluates the model again and returns the loss. Returns the closure's loss, or None.

        Raises ValueError, naming the parameter, for a gradient that is sparse or, unless nonfinite="skip", not finite.
        On CUDA nothing waits for the device to know the latter (but for solvers and stopping rules that look at
        numbers): from such a step on nothing changes any more, and the error comes with a later step, or with whatever
        asks for state or structure. Raises RuntimeError inside `structured`.
        """
        if self._lent:
            raise RuntimeError("step() inside `with structured(...)`: the model holds What_t there; leave it first")
        self._learn(wait=False)
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if self._repeated():
            return loss
        listed = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        self._refuse_sparse(listed)
        dues = [each for group in self.param_groups for each in self._dues(group)]
        if self._deferred(listed):
            self._step_deferred(dues)
        else:
            self._step(dues)
        return loss

    def _deferred(self, parameters: list[Tensor]) -> bool:
        """Whether the step must not wait for the device to say how it went."""
        devices = {parameter.device for parameter in parameters}
        return self.nonfinite == "raise" and len(devices) == 1 and {device.type for device in devices} <= DEFERRED

    def _repeated(self) -> bool:
        """Take a step like the last one, if it is one."""
        repeat, self._repeat = self._repeat, None
        if repeat is None or any(group["pending_restart"] for group in self.param_groups):
            return False
        due = sum(p.grad is not None for group in self.param_groups for p in group["params"])
        gradients = repeat.gradients(self.state) if due == len(repeat.parameters) else None
        done = None if gradients is None else repeat.step(gradients, self.param_groups, self.method)
        if done is None:
            return False
        residuals, passes, converged = done
        self._residuals.update(zip(repeat.parameters, residuals, strict=True))
        if not all(converged):
            for entry, n, residual, flag in zip(repeat.entries, passes, residuals, converged, strict=True):
                self._count(entry["t"], n, residual, flag)
        self._repeat = repeat
        return True

    def _remember(self, updates: list[Update]) -> None:
        """Prepare for another step like this one."""
        kernels = {update.kernel for update in updates}
        (kernel,) = kernels if len(kernels) == 1 else (None,)
        if kernel is None or self._deferred([update.parameter for update in updates]):
            return
        group_of = {p: i for i, group in enumerate(self.param_groups) for p in group["params"]}
        parameters = [update.parameter for update in updates]
        entries = [self.state[p] for p in parameters]
        methods = [self.method(group) for group in self.param_groups]
        self._repeat = Repeat.of(kernel, parameters, entries, [group_of[p] for p in parameters], methods)

    def _step(self, dues: list[Due]) -> None:
        """Take the steps when it is known that all go well."""
        found = known(sizes(dues))
        bad = [each.task.w for each, size in zip(dues, found, strict=True) if not math.isfinite(size)]
        if self._refused(bad, "gradient", "holds NaN or infinity"):
            return
        allowed = bounds(dues)
        if not all(map(operator.lt, found, allowed)):
            fits = map(operator.lt, found, allowed)
            dues = [each if fit else each._replace(kernel=None) for each, fit in zip(dues, fits, strict=True)]
        updates = computed([each for each in dues if not each.kernel])
        if self._refused([update.parameter for update in updates if not update.finite()], "step", "overflows"):
            return
        updates += fused(dues, None)
        self._take(updates, None)
        self._remember(updates)

    def _step_deferred(self, dues: list[Due]) -> None:
        """Take the steps where a flag on the device says that all go well, and nothing did not before."""
        sized = zip(dues, sizes(dues), bounds(dues), strict=True)
        well = {each.task.w: _flag(size, each.task.w) < allowed for each, size, allowed in sized}
        updates = computed([each for each in dues if not each.kernel])
        well |= {update.parameter: well[update.parameter] & update.finite() for update in updates}
        ok = torch.stack(list(well.values())).all() if well else None
        if ok is not None and self._ok is not None:
            ok = ok & self._ok
        updates += fused(dues, ok)
        self._take(updates, torch.stack([well[update.parameter] for update in updates]) if updates else None)

    @property
    def kernel(self) -> str:
        """Which code takes the steps: "auto", "reference" or the name of a kernel. May be set at any time."""
        return self._kernel

    @kernel.setter
    def kernel(self, name: str) -> None:
        check(name)
        self._learn()
        self._kernel = name
        self._repeat = None

    def _refuse_sparse(self, parameters: list[Tensor]) -> None:
        for parameter in parameters:
            if _gradient(parameter).layout != torch.strided:
                raise ValueError(
                    f"the gradient of {self.called(parameter)} is sparse; sparse gradients are not supported: every "
                    "entry enters the metric; use sparse=False in Embedding"
                )

    def _refused(self, bad: list[Tensor], what: str, wrong: str) -> bool:
        """Whether the step is to be skipped, which then is counted; raises ValueError unless it may be."""
        if not bad:
            return False
        if self.nonfinite == "skip":
            self.skipped += 1
            return True
        raise ValueError(
            f"the {what} of {self.called(bad[0])} (shape {tuple(bad[0].shape)}) {wrong}; {_NOTHING_CHANGED}"
        )

    def _dues(self, group: dict[str, Any]) -> list[Due]:
        """The steps that the parameters of one group are to take, those that have a gradient."""
        params = [parameter for parameter in group["params"] if parameter.grad is not None]
        restart, maximize = group["pending_restart"], group["maximize"]
        method = self.method(self._restarted(group) if restart else group)
        dues: list[Due] = []
        for parameter in params:
            entry = self.state.get(parameter)
            new = restart or not entry or "stale" in entry
            state = method.init(work(parameter)) if new or not entry else unpack(entry, method)
            theta = None if new or not entry else entry.get("theta")
            kernel = choose(self.kernel, method, parameter)
            dues.append(due(Task(method, parameter, _gradient(parameter), state, theta, maximize), kernel))
        return dues

    def _take(self, updates: list[Update], finite: Tensor | None) -> None:
        """Change parameters, state and groups; finite: on the device, one flag for each update, where not yet known."""
        ok, before = None, None
        if finite is not None:
            ok = finite.all() if self._ok is None else finite.all() & self._ok
            before = Snapshot.of(self.param_groups, self.state)
        for group in self.param_groups:
            self._commit_restart(group)
        for update in updates:
            self._enter(update, ok)
        self._ok = ok
        if finite is None or before is None:
            for update in updates:
                self._count(update.state.t, update.iterations, update.residual, update.converged)
        elif finite.device.type != "meta":
            names = [f"{self.called(u.parameter)} (shape {tuple(u.parameter.shape)})" for u in updates]
            self._outcomes.append(Outcome(names, updates, finite, before))

    def _enter(self, update: Update, ok: Tensor | None) -> None:
        """Put the update into the parameter and its entry in `state`; ok: on the device, whether it may be."""
        parameter, method, kernel, w, state, theta, _, residual, _ = update
        entry = pack(state) if theta is None else {**pack(state), "theta": theta}
        if ok is not None:
            entry = masked(ok, entry, self.state.get(parameter, {}))
        if w is not None:
            parameter.copy_(w if ok is None else torch.where(ok, w, parameter))
        self.state[parameter] = entry
        self._residuals[parameter] = residual / (method.subproblem_scale(state) or 1.0)
        if kernel is not None:  # which wrote where autograd does not look
            torch.autograd.graph.increment_version(parameter)

    def _learn(self, wait: bool = True) -> None:
        """Take note of how steps went: of all, or of those that are known without waiting for the device."""
        while self._outcomes and (wait or self._outcomes[0].ready()):
            outcome = self._outcomes.pop(0)
            finite, converged = outcome.read()
            if not all(finite):
                later = len(self._outcomes)
                outcome.before.restore(self.state)
                self._outcomes, self._ok = [], None
                self._residuals.clear()
                self._repeat = None
                name = outcome.names[finite.index(False)]
                raise ValueError(
                    f"the gradient of {name} held NaN or infinity, or its step overflowed, {later + 1} steps ago; "
                    f"since then {_NOTHING_CHANGED}"
                )
            for solve, flag in zip(outcome.solves, converged, strict=True):
                self._count(*solve, flag)

    def _count(self, t: int, iterations: int, residual: Tensor | float, converged: Tensor | bool) -> None:
        """Count the solves that stopped at their iteration limit, and warn of the first."""
        if not bool(converged):
            self._uncertified += 1
            if self._uncertified == 1:
                warn_uncertified(f"step {t}", iterations, residual)

    @property
    def uncertified(self) -> int:
        """How many subproblem solves stopped at their iteration limit. Waits for the device."""
        self._learn()
        return self._uncertified

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
                group["ramp"] = self._steps(group)

    def _has_averaging(self, remedy: str) -> None:
        if "averaging" not in self.defaults:
            raise ValueError(f"{self.defaults['method']} has no averaging to ramp up; call {remedy}")

    def _steps(self, group: dict[str, Any]) -> int:
        """The steps of a group since the last restart."""
        states = [self.state[p] for p in group["params"] if self.state.get(p)]
        return max((state["t"] for state in states if "stale" not in state), default=0)

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
        residuals = [float(residual) for residual in self._residuals.values()]
        squares = [rule.sum_of_squares(t) for rule, t in self._tolerances()]
        return Certificate(
            residual=math.hypot(*residuals) if residuals else None,
            uncertified=self._uncertified,
            sum_of_squares=max(squares, default=None),
        )

    def _tolerances(self) -> Iterator[tuple[SubgradientNorm, int]]:
        """The SubgradientNorm of each group that has one, with the steps of its parameters since the last restart."""
        for group in self.param_groups:
            stopping = self.method(group).stopping
            if isinstance(stopping, SubgradientNorm):
                yield stopping, self._steps(group)

    def state_dict(self) -> dict[str, Any]:
        """As in torch.optim, with `optkit`: the version of the format and the counts of skipped and uncertified."""
        self._learn()
        own = {"version": VERSION, "skipped": self.skipped, "uncertified": self._uncertified}
        data = super().state_dict()
        groups = [{key: _own(value) for key, value in group.items()} for group in data["param_groups"]]
        return {**data, "param_groups": groups, "optkit": own}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As in torch.optim, but state keeps its dtype (float32 for bf16 parameters), and nothing is changed where the
        checkpoint is of another version, method, regularizer or shape: ValueError names what differs."""
        refuse_others(self, state_dict)
        self._learn()
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "optkit"})
        own = state_dict["optkit"]
        self.skipped, self._uncertified = own["skipped"], own["uncertified"]
        self._residuals.clear()
        self._repeat = None
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
        return {**super().__getstate__(), **own, "_repeat": None}

    def _restarted(self, group: dict[str, Any]) -> dict[str, Any]:
        """The group as it is after its pending restart."""
        pending, ramp = group["pending_restart"], group["ramp"]
        begun = 0 if pending["ramp"] else ramp if ramp is None else ramp - self._steps(group)
        changed = {**group, "ramp": begun, "pending_restart": None}
        if "epsilon" in group:
            changed["epsilon"] = group["epsilon"] * pending["epsilon_scale"]
        return changed

    def _commit_restart(self, group: dict[str, Any]) -> None:
        if group["pending_restart"]:
            epsilon = group.get("epsilon")
            group.update(self._restarted(group))
            for parameter in group["params"]:
                if parameter in self.state:
                    # until its next gradient What_t stays as it is
                    self.state[parameter] = {"stale": epsilon, **self.state[parameter]}

    def called(self, parameter: Tensor) -> str:
        """The name of a parameter, or its place."""
        places = [(i, j) for i, g in enumerate(self.param_groups) for j, p in enumerate(g["params"]) if p is parameter]
        i, j = places[0]
        names = self.param_groups[i].get("param_names")
        return names[j] if names else f"parameter {j} of group {i}"


_OWN = ("recipe", "nonfinite", "_kernel", "skipped", "_uncertified", "_residuals", "_ok", "_outcomes")


def unwrapped(optimizer: Any) -> Any:
    """The optimizer of optkit inside a training framework's wrapper; any other object as it is."""
    inner = getattr(optimizer, "optimizer", None)
    return inner if isinstance(inner, MethodOptimizer) else optimizer


_NOTHING_CHANGED = 'nothing was changed. Lower lr or clip gradients, or pass nonfinite="skip" to skip such steps'


def _own(value: Any) -> Any:
    """The value, copied if it is a tensor: schedulers write into an lr that is one."""
    return value.clone() if isinstance(value, Tensor) else value


def _gradient(parameter: Tensor) -> Tensor:
    gradient = parameter.grad
    assert gradient is not None
    return gradient


def _flag(size: Tensor | float, parameter: Tensor) -> Tensor:
    """A size on the device of its parameter."""
    return size if isinstance(size, Tensor) else torch.full((), size, device=parameter.device)

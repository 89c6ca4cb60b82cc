"""Proximal methods as torch.optim optimizers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from optkit import validate
from optkit.algorithms import MethodState, ProximalMethod, Step, warn_uncertified
from optkit.core import Regularizer, StoppingRule, SubproblemSolver
from optkit.solvers import SubgradientNorm
from optkit.structure import Structure

from .checkpoint import VERSION, refuse_others
from .outcomes import DEFERRED, Outcome, Snapshot, masked
from .recipe import Factory, Recipe
from .state import pack, unpack

Params = Iterable[Tensor] | Iterable[tuple[str, Tensor]] | Iterable[dict[str, Any]]


class _Update(NamedTuple):
    """One step of one parameter, computed but not yet taken."""

    parameter: Tensor
    method: ProximalMethod
    step: Step

    def finite(self) -> Tensor:
        """Whether all numbers of the step are finite, the new weights also in the dtype of the parameter."""
        flag: Tensor = self.step.finite()
        if self.step.w.dtype == self.parameter.dtype:
            return flag
        return flag & torch.isfinite(self.step.w.to(self.parameter.dtype)).all()


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
        **hyperparameters: Any,
    ) -> None:
        validate.choice("nonfinite", nonfinite, ("raise", "skip"))
        validate.flag("maximize", maximize)
        self.recipe, self.nonfinite = Recipe(factory), nonfinite
        self.skipped = 0
        self._uncertified = 0
        self._residuals: dict[Tensor, Any] = {}
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
        listed = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        self._refuse_sparse(listed)
        deferred = self.nonfinite == "raise" and {parameter.device.type for parameter in listed} <= DEFERRED
        deferred = deferred and len({parameter.device for parameter in listed}) == 1
        finite = [torch.isfinite(_gradient(parameter)).all() for parameter in listed]
        if not deferred and not self._all(finite, listed, "gradient", "holds NaN or infinity"):
            return loss
        updates = [update for group in self.param_groups for update in self._updates(group)]
        overall = [update.finite() for update in updates]
        if not deferred and not self._all(overall, listed, "step", "overflows"):
            return loss
        self._take(updates, torch.stack(finite) & torch.stack(overall) if deferred else None)
        return loss

    def _refuse_sparse(self, parameters: list[Tensor]) -> None:
        for parameter in parameters:
            if _gradient(parameter).layout != torch.strided:
                raise ValueError(
                    f"the gradient of {self.called(parameter)} is sparse; sparse gradients are not supported: every "
                    "entry enters the metric; use sparse=False in Embedding"
                )

    def _all(self, flags: list[Tensor], parameters: list[Tensor], what: str, wrong: str) -> bool:
        """Whether all flags, one for each parameter, are true; else raises ValueError, or counts a skipped step."""
        by_device: dict[torch.device, list[Tensor]] = {}
        for flag in flags:
            by_device.setdefault(flag.device, []).append(flag)
        if all(bool(torch.stack(some).all()) for some in by_device.values()):
            return True
        if self.nonfinite == "skip":
            self.skipped += 1
            return False
        bad = next(parameter for parameter, flag in zip(parameters, flags, strict=True) if not flag)
        raise ValueError(f"the {what} of {self.called(bad)} (shape {tuple(bad.shape)}) {wrong}; {_NOTHING_CHANGED}")

    def _updates(self, group: dict[str, Any]) -> list[_Update]:
        """The steps of the parameters of one group that have a gradient."""
        params = [parameter for parameter in group["params"] if parameter.grad is not None]
        restart = group["pending_restart"]
        method = self.method(self._restarted(group) if restart else group)

        def state(parameter: Tensor) -> MethodState:
            old = self.state.get(parameter)
            if restart or not old or "stale" in old:
                return method.init(_work(parameter))
            return unpack(old, method)

        gradients = [_downhill(parameter, group) for parameter in params]
        steps = method.step_all([_work(p) for p in params], gradients, [state(p) for p in params])
        return [_Update(parameter, method, step) for parameter, step in zip(params, steps, strict=True)]

    def _take(self, updates: list[_Update], finite: Tensor | None) -> None:
        """Change parameters, state and groups; finite: on the device, one flag for each update, where not yet known."""
        ok, before = None, None
        if finite is not None:
            ok = finite.all() if self._ok is None else finite.all() & self._ok
            before = Snapshot.of(self.param_groups, self.state)
        for group in self.param_groups:
            self._commit_restart(group)
        for parameter, method, step in updates:
            new = pack(step.state)
            if ok is not None:
                new = masked(ok, new, self.state.get(parameter, {}))
            parameter.copy_(step.w if ok is None else torch.where(ok, step.w, parameter))
            self.state[parameter] = new
            self._residuals[parameter] = step.solution.residual / (method.subproblem_scale(step.state) or 1.0)
        self._ok = ok
        if finite is None or before is None:
            for _, _, step in updates:
                solution = step.solution
                self._count(step.state.t, solution.iterations, solution.residual, bool(solution.converged))
        elif finite.device.type != "meta":
            names = [f"{self.called(p)} (shape {tuple(p.shape)})" for p, _, _ in updates]
            self._outcomes.append(Outcome(names, [step for _, _, step in updates], finite, before))

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
                name = outcome.names[finite.index(False)]
                raise ValueError(
                    f"the gradient of {name} held NaN or infinity, or its step overflowed, {later + 1} steps ago; "
                    f"since then {_NOTHING_CHANGED}"
                )
            for solve, flag in zip(outcome.solves, converged, strict=True):
                self._count(*solve, flag)

    def _count(self, t: int, iterations: int, residual: Tensor | float, converged: bool) -> None:
        """Count the solves that stopped at their iteration limit, and warn of the first."""
        if not converged:
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
        work = _work(parameter)
        if not self.state.get(parameter):
            return work
        method = self.method_of(parameter, group)
        return method.structured(work, unpack(self.state[parameter], method))

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
        return {**super().__getstate__(), **{key: value for key, value in vars(self).items() if key in _OWN}}

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


_OWN = ("recipe", "nonfinite", "skipped", "_uncertified", "_residuals", "_ok", "_outcomes")


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


def _downhill(parameter: Tensor, group: dict[str, Any]) -> Tensor:
    """The gradient of what is minimised."""
    gradient = _work(_gradient(parameter))
    return -gradient if group["maximize"] else gradient


def _work(tensor: Tensor) -> Tensor:
    """The tensor to compute with: float32 for bf16 and fp16."""
    tensor = tensor.detach()
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor

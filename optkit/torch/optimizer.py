"""Proximal methods as torch.optim optimizers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from optkit import validate
from optkit.algorithms import MethodState, ProximalMethod, Step, warn_uncertified
from optkit.core import Manifold, Regularizer, StoppingRule, SubproblemSolver
from optkit.solvers import SubgradientNorm

from .recipe import Factory, Recipe
from .state import pack, unpack

Params = Iterable[Tensor] | Iterable[tuple[str, Tensor]] | Iterable[dict[str, Any]]


class _Batch(NamedTuple):
    """The parameters of one group that have a gradient, with the method in force for them."""

    group: dict[str, Any]
    method: ProximalMethod
    params: list[Tensor]
    states: list[MethodState]


VERSION = 1
"""The version of the format of `state_dict`."""


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
    nonfinite: "raise", or "skip" to leave everything as it is when a gradient holds NaN or infinity (`skipped` counts).
    maximize: go up the loss instead of down; a key of the groups, as in torch.optim.

    A group also holds `method` (the factory's name), `ramp` (after which step its averaging began to ramp up, or None)
    and `pending_restart` (what the next step begins with). The structure is in What_t, which `structured(model, optimizer)` puts into the
    model; the parameters themselves reach it at the end of a run whose averaging ramps up to 1 (`restart(ramp=True)`).

    bf16 and fp16 parameters have float32 state. Raises TypeError or ValueError, naming the parameter or key, for an
    empty list, tensors that are no floating-point numbers, shapes that the regularizer does not fit and values out of
    range.
    """

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
        self.uncertified = 0
        self._residuals: dict[Tensor, Any] = {}
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
        Raises ValueError, naming the parameter, for a gradient that is not finite (unless nonfinite="skip") or sparse.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with_gradient = [[p for p in group["params"] if p.grad is not None] for group in self.param_groups]
        if not self._finite(with_gradient):
            self.skipped += 1
            return loss
        batches = [self._batch(group, params) for group, params in zip(self.param_groups, with_gradient, strict=True)]
        results = [
            batch.method.step_all(
                [_work(p) for p in batch.params], [_downhill(p, batch.group) for p in batch.params], batch.states
            )
            for batch in batches
        ]
        if not self._no_overflow(batches, results):
            self.skipped += 1
            return loss
        for batch, steps in zip(batches, results, strict=True):
            self._commit_restart(batch.group)
            for parameter, step in zip(batch.params, steps, strict=True):
                parameter.copy_(step.w)
                self.state[parameter] = pack(step.state)
                self._residuals[parameter] = step.solution.residual / (batch.method.subproblem_scale(step.state) or 1.0)
                self._certify(step)
        return loss

    def _certify(self, step: Step) -> None:
        """Count the solves that stopped at their iteration limit, and warn of the first."""
        if not bool(step.solution.converged):
            self.uncertified += 1
            if self.uncertified == 1:
                warn_uncertified(f"step {step.state.t}", step.solution)

    def restart(self, epsilon_scale: float = 1.0, ramp: bool = False) -> None:
        """Begin a new stage with the next step: t, alpha and both accumulators at 0, anchored at the present weights.

        epsilon_scale: > 0, the factor on the metric's epsilon, if it has one;  ramp: from then on the averaging is
        c_t = min(c sqrt(t), 1); a ramp that began before goes on. Until the next step What_t is that of the stage that
        ends.

        Reference: RAMDA paper (NeurIPS 2024), appendix A.1.
        """
        validate.positive("epsilon_scale", epsilon_scale)
        validate.flag("ramp", ramp)
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
        for group in self.param_groups:
            if group["pending_restart"]:
                group["pending_restart"]["ramp"] = True
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
        work = _work(parameter)
        if not self.state.get(parameter):
            return work
        method = self.method(group)
        return method.structured(work, unpack(self.state[parameter], method))

    def structure(self) -> dict[str, Manifold]:
        """The active manifold of What_t for each regularized parameter, by name (or "group.index" without names)."""
        manifolds = {}
        for i, group in enumerate(self.param_groups):
            if group["regularizer"] is not None:
                psi = self.method(group).psi
                for j, parameter in enumerate(group["params"]):
                    name = group["param_names"][j] if "param_names" in group else f"{i}.{j}"
                    manifolds[name] = psi.manifold(self.structured_value(parameter, group))
        return manifolds

    def certificate(self) -> Certificate:
        """What is known of the subproblems' solutions: see Certificate. Waits for the device; `step` does not."""
        residuals = [float(residual) for residual in self._residuals.values()]
        squares = [rule.sum_of_squares(t) for rule, t in self._tolerances()]
        return Certificate(
            residual=math.hypot(*residuals) if residuals else None,
            uncertified=self.uncertified,
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
        own = {"version": VERSION, "skipped": self.skipped, "uncertified": self.uncertified}
        return {**super().state_dict(), "optkit": own}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As in torch.optim, but state keeps its dtype (float32 for bf16 parameters), and nothing is changed where the
        checkpoint is of another version, method, regularizer or shape: ValueError names what differs."""
        for i, (ours_, theirs_) in enumerate(zip(self.param_groups, state_dict["param_groups"], strict=False)):
            _same("method", theirs_.get("method"), ours_["method"], i)
            _same("regularizer", theirs_.get("regularizer"), ours_["regularizer"], i)
        own = state_dict.get("optkit", {})
        if own.get("version") != VERSION:
            raise ValueError(
                f"the checkpoint has the format version {own.get('version')!r}, this optkit reads {VERSION}; "
                "load it with the optkit that wrote it"
            )
        ours = [parameter for group in self.param_groups for parameter in group["params"]]
        theirs = [index for group in state_dict["param_groups"] for index in group["params"]]
        for parameter, index in zip(ours, theirs, strict=False):  # torch.optim refuses other lengths
            for key, value in state_dict["state"].get(index, {}).items():
                if isinstance(value, Tensor) and value.shape != parameter.shape:
                    raise ValueError(
                        f"the checkpoint's {key} for {self._called(parameter)} has shape {tuple(value.shape)}, the "
                        f"parameter {tuple(parameter.shape)}; give the parameters in the order they were saved in"
                    )
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "optkit"})
        self.skipped, self.uncertified = own["skipped"], own["uncertified"]
        self._residuals.clear()
        for parameter, index in zip(ours, theirs, strict=True):
            if index in state_dict["state"]:
                self.state[parameter] = {
                    key: value.to(parameter.device, copy=True) if isinstance(value, Tensor) else value
                    for key, value in state_dict["state"][index].items()
                }

    def method(self, group: dict[str, Any]) -> ProximalMethod:
        """The method that the plain data of a parameter group describe."""
        return self.recipe.method(group)

    def __getstate__(self) -> dict[str, Any]:
        """For pickle and copy.deepcopy: torch.optim keeps only the groups and the state."""
        return {**super().__getstate__(), **{key: value for key, value in vars(self).items() if key in _OWN}}

    def _batch(self, group: dict[str, Any], params: list[Tensor]) -> _Batch:
        restart = group["pending_restart"]
        method = self.method(self._restarted(group) if restart else group)

        def state(parameter: Tensor) -> MethodState:
            old = self.state.get(parameter)
            if restart or not old or "stale" in old:
                return method.init(_work(parameter))
            return unpack(old, method)

        return _Batch(group, method, params, [state(parameter) for parameter in params])

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
            group.update(self._restarted(group))
            for parameter in group["params"]:
                if parameter in self.state:
                    self.state[parameter]["stale"] = True  # until its next gradient What_t stays as it is

    def _finite(self, params: list[list[Tensor]]) -> bool:
        """Whether all gradients are finite; raises ValueError naming one that is not, unless nonfinite is "skip"."""
        listed = [parameter for group in params for parameter in group]
        flags: dict[torch.device, list[Tensor]] = {}
        for parameter in listed:
            if _gradient(parameter).layout != torch.strided:
                raise ValueError(
                    f"the gradient of {self._called(parameter)} is sparse; sparse gradients are not supported: every "
                    "entry enters the metric; use sparse=False in Embedding"
                )
            flags.setdefault(parameter.device, []).append(torch.isfinite(_gradient(parameter)).all())
        if all(bool(torch.stack(some).all()) for some in flags.values()):
            return True
        if self.nonfinite == "skip":
            return False
        bad = next(parameter for parameter in listed if not bool(torch.isfinite(_gradient(parameter)).all()))
        raise ValueError(
            f"the gradient of {self._called(bad)} (shape {tuple(bad.shape)}) holds NaN or infinity; nothing was "
            'changed. Lower lr or clip gradients, or pass nonfinite="skip" to skip such steps'
        )

    def _no_overflow(self, batches: list[_Batch], results: list[list[Step]]) -> bool:
        """Whether all new weights and sums are finite; raises or skips as for gradients."""
        for batch, steps in zip(batches, results, strict=True):
            for parameter, step in zip(batch.params, steps, strict=True):
                if not step.finite():
                    if self.nonfinite == "skip":
                        return False
                    raise ValueError(
                        f"the step of {self._called(parameter)} (shape {tuple(parameter.shape)}) overflows; nothing "
                        'was changed. Lower lr or clip gradients, or pass nonfinite="skip" to skip such steps'
                    )
        return True

    def _called(self, parameter: Tensor) -> str:
        """The name of a parameter, or its place."""
        places = [(i, j) for i, g in enumerate(self.param_groups) for j, p in enumerate(g["params"]) if p is parameter]
        i, j = places[0]
        names = self.param_groups[i].get("param_names")
        return names[j] if names else f"parameter {j} of group {i}"


_OWN = ("recipe", "nonfinite", "skipped", "uncertified", "_residuals")


def _same(key: str, saved: Any, present: Any, group: int) -> None:
    """Refuse a checkpoint whose group has another value of the key."""
    if saved != present:
        raise ValueError(
            f"the checkpoint's group {group} has the {key} {saved!r}, this optimizer's {present!r}; "
            "load it into an optimizer made with the same one"
        )


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

"""The laws of optimizers catch planted faults, each by the law that it breaks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from optkit.regularizers import L1
from optkit.structure import Structure
from optkit.testing import OPTIMIZER_LAWS, LawBroken, check_optimizer
from optkit.torch import RAMDA, MethodOptimizer

PLANTED: list[tuple[str, Callable[..., MethodOptimizer]]] = []


def breaks(*laws: str) -> Callable[[Any], Any]:
    """Enter what follows into the list of faults, under the laws that it breaks."""

    def enter(make: Any) -> Any:
        PLANTED.extend((law, make) for law in laws)
        return make

    return enter


class Faulty(RAMDA):
    """RAMDA with moments before and after a step, and none of its own."""

    def __init__(self, params: Any, **options: Any) -> None:
        super().__init__(params, **{"lr": 0.1, "averaging": 0.1, **options})
        self.register_step_pre_hook(lambda optimizer, *_: self.before(optimizer))
        self.register_step_post_hook(lambda optimizer, *_: self.after(optimizer))

    def before(self, optimizer: Any) -> None:
        pass

    def after(self, optimizer: Any) -> None:
        pass

    def listed(self) -> list[Tensor]:
        """All parameters."""
        return [p for group in self.param_groups for p in group["params"]]


def gradient(p: Tensor) -> Tensor:
    """The gradient, where there is one, else zeros."""
    return torch.zeros_like(p) if p.grad is None else p.grad


# --- one step ---------------------------------------------------------------------------------------------------------


@breaks("it_is_a_torch_optimizer")
class Stands(Faulty):
    def step(self, closure: Any = None) -> None:
        pass


@breaks("twins_walk_alike", "averaged_models_average")
class Shares(Faulty):
    total = 0

    def before(self, optimizer: Any) -> None:
        Shares.total += 1
        for group in self.param_groups:
            group["lr"] = 0.1 / (1 + Shares.total % 7)


@breaks("gradients_are_left_as_they_are")
class ClearsGradients(Faulty):
    def after(self, optimizer: Any) -> None:
        for p in self.listed():
            gradient(p).zero_()


@breaks("a_closure_is_evaluated_once_with_gradients")
class EvaluatesTwice(Faulty):
    def step(self, closure: Any = None) -> Any:
        if closure is not None:
            closure()
        return super().step(closure)


@breaks("hooks_are_called_once")
class CallsHooks(Faulty):
    def step(self, closure: Any = None) -> Any:
        for hook in list(self._optimizer_step_post_hooks.values()):  # type: ignore[attr-defined]
            hook(self, (), {})
        return super().step(closure)


@breaks("a_step_is_not_recorded")
class Records(Faulty):
    def after(self, optimizer: Any) -> None:
        for state in self.state.values():
            state["anchor"] = state["anchor"].requires_grad_()


@breaks("sparse_gradients_are_refused_by_name")
class Densifies(Faulty):
    def before(self, optimizer: Any) -> None:
        for p in self.listed():
            p.grad = gradient(p).to_dense()


@breaks("non_finite_gradients_are_refused", "non_finite_gradients_can_be_skipped")
class Replaces(Faulty):
    def before(self, optimizer: Any) -> None:
        for p in self.listed():
            gradient(p).nan_to_num_(nan=0.0, posinf=0.0, neginf=0.0)


@breaks("non_finite_gradients_are_refused")
class RefusesTooLate(Faulty):
    def before(self, optimizer: Any) -> None:
        with torch.no_grad():
            self.listed()[0].mul_(0.9)


@breaks("an_overflow_is_refused")
class Overflows(Faulty):
    def step(self, closure: Any = None) -> Any:
        try:
            return super().step(closure)
        except ValueError:
            with torch.no_grad():
                self.listed()[0].fill_(torch.inf)


@breaks("a_restart_begins_anew")
class NeverRestarts(Faulty):
    def restart(self, epsilon_scale: float = 1.0, ramp: bool = False) -> None:
        pass


@breaks("a_restart_waits_for_the_next_step")
class RestartsAtOnce(Faulty):
    def restart(self, epsilon_scale: float = 1.0, ramp: bool = False) -> None:
        self.state.clear()


# --- groups -----------------------------------------------------------------------------------------------------------


@breaks("a_restart_waits_for_the_gradient_of_each_parameter")
class ForgetsEpsilon(Faulty):
    def method_of(self, parameter: Tensor, group: dict[str, Any]) -> Any:
        return self.method(group)


@breaks("groups_walk_as_separate_optimizers")
class OneRegularizer(Faulty):
    def method(self, group: Any) -> Any:
        first = self.param_groups[0] if self.param_groups else group
        return super().method({**group, "regularizer": first["regularizer"]})


@breaks("hyper_parameters_are_those_of_the_group")
class DefaultLr(Faulty):
    def method(self, group: Any) -> Any:
        return super().method({**group, "lr": self.defaults["lr"]})


@breaks("an_added_group_walks_as_one_of_the_beginning")
class ForgetsTheRegularizer(Faulty):
    def add_param_group(self, param_group: Any) -> None:
        added = {**param_group, "regularizer": None} if getattr(self, "state", None) else param_group
        super().add_param_group(added)


@breaks("names_do_not_matter")
def named_faster(params: Any, **options: Any) -> MethodOptimizer:
    params = list(params)
    return RAMDA(params, **{"lr": 0.2 if isinstance(params[0], tuple) else 0.1, **options})


@breaks("names_are_in_messages")
class Nameless(Faulty):
    def called(self, parameter: Tensor) -> str:
        return "a parameter"


@breaks("parameters_without_gradient_are_left_out", "a_step_without_gradients_changes_nothing")
class ZeroForNone(Faulty):
    def before(self, optimizer: Any) -> None:
        for p in self.listed():
            p.grad = gradient(p)


@breaks("frozen_parameters_are_left_out")
class ForgetsFrozen(Faulty):
    def before(self, optimizer: Any) -> None:
        for p in self.listed():
            if p.grad is None:
                self.state.pop(p, None)


@breaks("maximize_goes_down_the_negative")
def never_up(params: Any, maximize: bool = False, **options: Any) -> MethodOptimizer:
    return RAMDA([{**group, "maximize": False} for group in params], **{"lr": 0.1, **options})


@breaks("an_lr_in_a_tensor_is_the_number_in_it")
def numbers_only(params: Any, lr: Any = 0.1, **options: Any) -> MethodOptimizer:
    return RAMDA(params, lr=float(lr), **options)


@breaks("schedulers_set_the_lr")
class KeepsTheFirstMethod(Faulty):
    def method(self, group: Any) -> Any:
        kept = self.__dict__.setdefault("kept", {})
        return kept.setdefault(str(group["regularizer"]), super().method(group))


@breaks("a_tensor_is_in_one_group")
class DropsTheSecond(Faulty):
    def add_param_group(self, param_group: Any) -> None:
        known = {id(p) for p in self.listed()}
        if not any(id(p) in known for p in param_group["params"]):
            super().add_param_group(param_group)


@breaks("unregularized_is_strength_0")
class FasterWhenFree(Faulty):
    def method(self, group: Any) -> Any:
        return super().method(group if group["regularizer"] else {**group, "lr": 2 * group["lr"]})


# --- state ------------------------------------------------------------------------------------------------------------


@breaks("state_is_plain_data")
class SavesObjects(Faulty):
    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "regularizer": L1(1.0)}


@breaks("state_has_a_version")
class NoVersion(Faulty):
    def state_dict(self) -> dict[str, Any]:
        return {key: value for key, value in super().state_dict().items() if key != "optkit"}


@breaks("state_dict_is_a_snapshot")
class ChangesTensors(Faulty):
    def after(self, optimizer: Any) -> None:
        for state in self.state.values():
            state["anchor"].mul_(1.001)


@breaks("loading_makes_a_copy")
class Aliases(Faulty):
    def load_state_dict(self, state_dict: Any) -> None:
        super().load_state_dict(state_dict)
        for i, p in enumerate(self.listed()):
            self.state[p] = state_dict["state"][i]


@breaks("a_run_resumes_bit_by_bit")
class CountsAnew(Faulty):
    def load_state_dict(self, state_dict: Any) -> None:
        super().load_state_dict(state_dict)
        for state in self.state.values():
            state["t"] = min(state["t"], 1)


@breaks("counts_are_saved")
class ForgetsCounts(Faulty):
    def load_state_dict(self, state_dict: Any) -> None:
        super().load_state_dict(state_dict)
        self.skipped = 0


class Bare(RAMDA):
    def __init__(self, params: Any, **options: Any) -> None:
        super().__init__(params, **{"lr": 0.1, "averaging": 0.1, **options})


@breaks("a_deep_copy_walks_on_alike_and_apart", "a_pickled_copy_walks_on_alike_and_apart")
class CopiesTheStart(Bare):
    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "state": {}}


@breaks("a_copy_made_inside_structured_takes_steps")
class CopiesTheBlock(Bare):
    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_lent": 1}


def swallows(word: str) -> type[Faulty]:
    """An optimizer that takes no notice of refusals with this word."""

    class Swallows(Faulty):
        def load_state_dict(self, state_dict: Any) -> None:
            try:
                super().load_state_dict(state_dict)
            except ValueError as error:
                if word not in str(error):
                    raise

    return Swallows


breaks("another_method_is_refused")(swallows("method"))
breaks("another_regularizer_is_refused")(swallows("regularizer"))
breaks("another_shape_is_refused")(swallows("has shape"))
breaks("another_number_of_groups_is_refused")(swallows("number of"))
breaks("another_version_is_refused")(swallows("version"))
breaks("other_names_are_refused")(swallows("names"))
breaks("half_a_state_is_refused")(swallows("has the state"))


@breaks("another_regularizer_is_refused", "another_shape_is_refused", "another_version_is_refused")
class LoadsHalf(Faulty):
    def load_state_dict(self, state_dict: Any) -> None:
        self.param_groups[0]["lr"] = 0.123
        super().load_state_dict(state_dict)


# --- kinds of tensors -------------------------------------------------------------------------------------------------


class Casts(Faulty):
    """Casts the state."""

    def cast(self, p: Tensor) -> torch.dtype:
        return p.dtype

    def cast_all(self) -> None:
        for p, state in self.state.items():
            for key, value in state.items():
                state[key] = value.to(self.cast(p)) if isinstance(value, Tensor) else value


@breaks("half_precision_has_state_in_float32")
class HalfState(Casts):
    def after(self, optimizer: Any) -> None:
        self.cast_all()


@breaks("loaded_state_stays_in_float32")
class LoadsHalfState(Casts):
    def load_state_dict(self, state_dict: Any) -> None:
        super().load_state_dict(state_dict)
        self.cast_all()


@breaks("double_precision_is_kept")
class SingleState(Casts):
    def cast(self, p: Tensor) -> torch.dtype:
        return torch.float32

    def after(self, optimizer: Any) -> None:
        self.cast_all()


@breaks("half_precision_walks_near_float32")
class ShrinksHalf(Faulty):
    def after(self, optimizer: Any) -> None:
        for p in self.listed():
            p.data.mul_(0.95 if p.dtype == torch.bfloat16 else 1.0)


@breaks("memory_layout_is_kept_and_does_not_matter")
class MakesContiguous(Faulty):
    def after(self, optimizer: Any) -> None:
        for p in self.listed():
            p.data = p.data.contiguous()


@breaks("gradients_may_have_another_layout")
class ReadsMemory(Faulty):
    def before(self, optimizer: Any) -> None:
        for p in self.listed():
            p.grad = torch.as_strided(gradient(p), p.shape, p.stride())


@breaks("tensors_without_entries_are_stepped")
class TakesTheLargest(Faulty):
    def before(self, optimizer: Any) -> None:
        for p in self.listed():
            gradient(p).abs().max()


@breaks("tensors_without_axes_are_stepped")
class TakesTheFirst(Faulty):
    def before(self, optimizer: Any) -> None:
        for p in self.listed():
            gradient(p).select(0, 0) if p.numel() else None


# --- structure --------------------------------------------------------------------------------------------------------


@breaks("structured_holds_the_solution")
class NearlyTheSolution(Faulty):
    def structured_value(self, parameter: Tensor, group: Any) -> Tensor:
        return 0.99 * super().structured_value(parameter, group)


@breaks("zeros_are_exact")
class NearlyZero(Faulty):
    def structured_value(self, parameter: Tensor, group: Any) -> Tensor:
        return super().structured_value(parameter, group) + 1e-30


@breaks("structure_is_that_of_the_solution", "structure_measures_sparsity")
class StructureOfTheWeights(Faulty):
    def structure(self) -> Structure:
        regularized = [group for group in self.param_groups if group["regularizer"]]
        named = [(group, *pair) for group in regularized for pair in zip(group["param_names"], group["params"])]  # noqa: B905
        found = {name: self.method(group).psi.manifold(p.detach()) for group, name, p in named}
        return Structure({**found, "bias": L1(1.0).manifold(torch.ones(4))})


@breaks("before_a_step_the_solution_is_the_weights")
class ZeroBefore(Faulty):
    def structured_value(self, parameter: Tensor, group: Any) -> Tensor:
        value = super().structured_value(parameter, group)
        return value if self.state.get(parameter) else torch.zeros_like(value)


@breaks("the_weights_come_back")
class WritesTheWeights(Faulty):
    def structured_value(self, parameter: Tensor, group: Any) -> Tensor:
        return parameter.copy_(super().structured_value(parameter, group)).detach()


@breaks("structured_twice_is_the_same", "nothing_advances_outside_a_step", "evaluating_inside_does_not_change_the_walk")
@breaks("a_monitor_changes_nothing")
class CountsLooks(Faulty):
    def structured_value(self, parameter: Tensor, group: Any) -> Tensor:
        value = super().structured_value(parameter, group)
        if self.state.get(parameter):
            self.state[parameter]["t"] += 1
            self.state[parameter]["estimator.sum"] = 1.01 * self.state[parameter]["estimator.sum"]
        return value


@breaks("state_dict_inside_is_that_outside")
class SavesTheModel(Faulty):
    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "sum": sum(float(p.detach().sum()) for p in self.listed())}


@breaks("nothing_advances_outside_a_step")
class CertificateMoves(Faulty):
    def certificate(self) -> Any:
        self.param_groups[0]["lr"] *= 0.5
        return super().certificate()


@breaks("what_comes_next_does_not_change_the_solution")
class LooksAtLr(Faulty):
    def structured_value(self, parameter: Tensor, group: Any) -> Tensor:
        return super().structured_value(parameter, group) * (1 + group["lr"])


@breaks("a_monitor_changes_nothing")
class CountsHooks(Faulty):
    def before(self, optimizer: Any) -> None:
        for group in self.param_groups:
            group["lr"] = 0.1 / len(self._optimizer_step_post_hooks)  # type: ignore[attr-defined]


@breaks("a_step_inside_structured_is_refused")
class StepsInside(Faulty):
    def step(self, closure: Any = None) -> Any:
        self._lent = 0
        return super().step(closure)


# --- training stacks --------------------------------------------------------------------------------------------------


@breaks("a_scaler_that_skips_changes_nothing")
class ClaimsToScale(Faulty):
    _step_supports_amp_scaling = True


@breaks("autocast_trains")
class StandsUnderAutocast(Faulty):
    def step(self, closure: Any = None) -> Any:
        return None if torch.is_autocast_enabled("cpu") else super().step(closure)


@breaks("clipped_gradients_are_those_that_count", "accumulated_gradients_are_one_step")
class KeepsTheFirstGradient(Faulty):
    def __init__(self, params: Any, **options: Any) -> None:
        super().__init__(params, **options)
        self.kept: dict[Any, Tensor] = {}
        for p in self.listed():
            p.register_post_accumulate_grad_hook(lambda p: self.kept.setdefault(p, gradient(p).clone()))

    def before(self, optimizer: Any) -> None:
        for p, kept in self.kept.items():
            p.grad = kept
        self.kept.clear()


@breaks("zero_grad_clears")
class KeepsZeros(Faulty):
    def zero_grad(self, set_to_none: bool = True) -> None:
        super().zero_grad(set_to_none=False)


@breaks("a_step_waits_for_no_device")
class Asks(Faulty):
    def before(self, optimizer: Any) -> None:
        bool(gradient(self.listed()[0]).isfinite().all())


# ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:optimizer contains a parameter group with duplicate parameters")
@pytest.mark.parametrize(("law", "make"), PLANTED, ids=lambda value: getattr(value, "__name__", str(value)))
def test_a_planted_fault_is_caught_by_its_law(law: str, make: Callable[..., MethodOptimizer]) -> None:
    with pytest.raises(LawBroken, match=f"^{make.__name__} breaks {law}: ") as caught:
        check_optimizer(make, laws=[law])
    assert isinstance(caught.value.__cause__, Exception)


def test_the_faults_are_planted_in_an_optimizer_that_obeys_the_laws() -> None:
    laws = [law for law in OPTIMIZER_LAWS if "copy_walks" not in law]  # its hooks are functions of the optimizer itself
    check_optimizer(Faulty, laws=laws)
    check_optimizer(Bare)


def test_every_law_catches_a_fault() -> None:
    assert {law for law, _ in PLANTED} == set(OPTIMIZER_LAWS)


def test_a_law_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no law 'speed'; choose from it_is_a_torch_optimizer, "):
        check_optimizer(RAMDA, laws=["speed"])

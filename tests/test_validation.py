"""What users get wrong is refused before the first step, with its name, what was given and what is needed instead."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from optkit import minimize, registry, validate
from optkit.algorithms import (
    AdamRoot,
    Constant,
    ConstantAveraging,
    CubeRoot,
    DecayingAverage,
    DecayingAveraging,
    DualAveraging,
    MovingAverage,
    PowerWeighting,
    SqrtWeighting,
    SquareRootRamp,
    Stages,
    UncorrectedAdamAverage,
    adamw,
    madgrad,
    mda,
    msgd,
    proxgen,
    proxsgd,
    proxssi,
    ramda,
    rda,
    rmda,
)
from optkit.core import Array
from optkit.minimize import Progress
from optkit.regularizers import (
    L1,
    MCP,
    SCAD,
    Binary,
    BinarySet,
    Cardinality,
    ElasticNet,
    GroupCardinality,
    GroupLasso,
    GroupMCP,
    Levels,
    LogSum,
    Lq,
    NMSparsity,
    NuclearNorm,
    RankConstraint,
    Scaled,
    SparseGroupLasso,
    SquaredL2,
)
from optkit.solvers import (
    FixedIterations,
    NewtonRaphson,
    ProximalGradient,
    RelativeDecrease,
    SecularNewton,
    SubgradientNorm,
)
from optkit.torch import RAMDA, MethodOptimizer, StageScheduler, regularize

# --- numbers ----------------------------------------------------------------------------------------------------------


class Range(NamedTuple):
    """need: in the words of the message;  inside, outside: values at its ends;  wrong: values of another type."""

    need: str
    inside: tuple[Any, ...]
    outside: tuple[Any, ...]
    wrong: tuple[Any, ...] = ("0.5", None, [0.5], True, 0.5j)


NOT_FINITE = (math.nan, math.inf, -math.inf, np.float32("nan"))
NONNEGATIVE = Range("a finite number >= 0", (0, 0.0, 1e30, np.float32(0.5)), (-1, -1e-30, *NOT_FINITE))
NUMBER = Range("a finite number", (-1, 0, 0.5, 1e30), NOT_FINITE)
POSITIVE = Range("a finite number > 0", (1e-30, 1, 1e30), (0, 0.0, -1e-30, *NOT_FINITE))
FRACTION = Range("a number in (0, 1]", (1e-30, 0.5, 1), (0.0, -0.5, 1.5, 2, *NOT_FINITE))
DECAY = Range("a number in [0, 1)", (0, 0.999), (1, 1.0, -1e-30, *NOT_FINITE))
COUNT = Range("an integer >= 1", (1, 10**6, np.int64(3)), (0, -3), ("3", None, 2.0, math.nan, True))
INTEGER = COUNT._replace(need="an integer", inside=(-3, 0, 2), outside=())
COUNT_FROM_0 = COUNT._replace(need="an integer >= 0", inside=(0, 2), outside=(-1,))

# Each hyper-parameter that is a number: how the message names it, how it is given, and its range.
NUMBERS: list[tuple[str, Callable[[Any], Any], Range]] = [
    ("strength", lambda x: L1(x), NONNEGATIVE),
    ("strength", lambda x: GroupLasso(x, axes=0), NONNEGATIVE),
    ("strength", lambda x: SquaredL2(x), NONNEGATIVE),
    ("strength", lambda x: NuclearNorm(x), NONNEGATIVE),
    ("strength", lambda x: Binary(x), NONNEGATIVE),
    ("strength", lambda x: Levels(x, (0, 1)), NONNEGATIVE),
    ("l1_ratio", lambda x: ElasticNet(0.1, x), FRACTION),
    ("l1_ratio", lambda x: SparseGroupLasso(0.1, l1_ratio=x), FRACTION._replace(inside=(1e-30, 0.5, 0.99))),
    ("q", lambda x: Lq(0.1, x), FRACTION._replace(inside=(1e-3, 0.5, 0.99))),
    ("gamma", lambda x: MCP(0.1, x), POSITIVE),
    ("gamma", lambda x: GroupMCP(0.1, gamma=x), POSITIVE),
    ("a", lambda x: SCAD(0.1, x), Range("a finite number > 2", (2.1, 3, 1e30), (2, 1.9, -5.0, *NOT_FINITE))),
    ("epsilon", lambda x: LogSum(0.1, x), POSITIVE),
    ("level", lambda x: Binary(0.1, x), POSITIVE),
    ("level", lambda x: BinarySet(x), POSITIVE),
    ("rank", lambda x: RankConstraint(x), COUNT_FROM_0),
    ("k", lambda x: Cardinality(x), COUNT_FROM_0),
    ("k", lambda x: GroupCardinality(x), COUNT_FROM_0),
    ("n", lambda x: NMSparsity(x, 10**6), COUNT),
    ("m", lambda x: NMSparsity(1, x), COUNT),
    ("factor", lambda x: Scaled(L1(0.1), x), NONNEGATIVE._replace(wrong=("0.5", None, True, 0.5j))),
    ("epsilon", lambda x: SubgradientNorm(x), NONNEGATIVE),
    ("power", lambda x: SubgradientNorm(0.1, power=x), NONNEGATIVE),
    ("tolerance", lambda x: NewtonRaphson(x), POSITIVE),
    ("max_iterations", lambda x: NewtonRaphson(max_iterations=x), COUNT),
    ("max_iterations", lambda x: SubgradientNorm(0.1, x), COUNT),
    ("rtol", lambda x: RelativeDecrease(x), NONNEGATIVE),
    ("min_iterations", lambda x: RelativeDecrease(min_iterations=x, max_iterations=10**6), COUNT),
    ("max_iterations", lambda x: RelativeDecrease(min_iterations=1, max_iterations=x), COUNT),
    ("iterations", lambda x: FixedIterations(x), COUNT),
    ("max_iterations", lambda x: SecularNewton(x), COUNT),
    ("momentum", lambda x: MovingAverage(x), FRACTION),
    ("square_decay", lambda x: UncorrectedAdamAverage(0.1, square_decay=x), DECAY),
    ("rho", lambda x: DecayingAverage(x), POSITIVE),
    ("power", lambda x: DecayingAverage(power=x), POSITIVE),
    ("offset", lambda x: DecayingAverage(offset=x), NONNEGATIVE),
    ("averaging", lambda x: DecayingAveraging(x), NONNEGATIVE),
    ("power", lambda x: DecayingAveraging(1.0, power=x), POSITIVE),
    ("offset", lambda x: DecayingAveraging(1.0, offset=x), NONNEGATIVE),
    ("power", lambda x: PowerWeighting(x), NUMBER),
    ("value", lambda x: Constant(x), POSITIVE),
    ("epsilon", lambda x: CubeRoot(x), POSITIVE),
    ("beta", lambda x: AdamRoot(beta=x), DECAY),
    ("epsilon", lambda x: AdamRoot(epsilon=x), POSITIVE),
    ("averaging", lambda x: ConstantAveraging(x), FRACTION),
    ("averaging", lambda x: SquareRootRamp(x), FRACTION),
    ("begin", lambda x: SquareRootRamp(0.5, begin=x), INTEGER),
    ("milestones", lambda x: Stages((x,)), COUNT),
    ("epoch", lambda x: Stages(epoch=x), COUNT),
    ("lr_factor", lambda x: Stages(lr_factor=x), POSITIVE),
    ("epsilon_factor", lambda x: Stages(epsilon_factor=x), POSITIVE),
    ("lr", lambda x: ramda(lr=x), NONNEGATIVE),
    ("lr", lambda x: rmda(lr=x), NONNEGATIVE),
    ("lr", lambda x: proxsgd(lr=x), NONNEGATIVE),
    ("lr", lambda x: proxgen(lr=x), NONNEGATIVE),
    ("lr", lambda x: adamw(lr=x), NONNEGATIVE),
    ("averaging", lambda x: ramda(averaging=x), FRACTION),
    ("averaging", lambda x: rmda(averaging=x), FRACTION),
    ("epsilon", lambda x: ramda(epsilon=x), POSITIVE),
    ("epsilon", lambda x: proxgen(epsilon=x), POSITIVE),
    ("momentum", lambda x: proxsgd(momentum=x), FRACTION),
    ("betas[0]", lambda x: proxgen(betas=(x, 0.9)), DECAY),
    ("betas[1]", lambda x: proxgen(betas=(0.9, x)), DECAY),
    ("lr", lambda x: rda(lr=x), NONNEGATIVE),
    ("lr", lambda x: proxssi(lr=x), NONNEGATIVE),
    ("lr", lambda x: proxsgd(lr=x, published=True), NONNEGATIVE),
    ("lr", lambda x: madgrad(lr=x), NONNEGATIVE),
    ("lr", lambda x: mda(lr=x), NONNEGATIVE),
    ("lr", lambda x: msgd(lr=x), NONNEGATIVE),
    ("weight_decay", lambda x: proxssi(weight_decay=x, published=True), NONNEGATIVE),
    ("weight_decay", lambda x: adamw(weight_decay=x), NONNEGATIVE),
    ("steps", lambda x: minimize(Fixed(), ramda(), steps=x), COUNT_FROM_0._replace(inside=(0,))),
]
NOT_IN_THE_TABLE = {"lower", "upper", "axis"}  # may be infinite, or negative: refused in test_catalogue
EACH_NUMBER = pytest.mark.parametrize(("name", "make", "allowed"), NUMBERS, ids=[name for name, _, _ in NUMBERS])


def refused(make: Callable[[], Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind) as error:
        make()
    assert error.type is kind and str(error.value).startswith(words), f"{words!r} expected, got {error.value}"
    assert "\n" not in str(error.value)


@EACH_NUMBER
def test_a_number_out_of_range_is_refused(name: str, make: Callable[[Any], Any], allowed: Range) -> None:
    for value in allowed.outside:
        refused(lambda value=value: make(value), ValueError, f"{name} must be {allowed.need}, got {value!r}")


@EACH_NUMBER
def test_what_is_no_number_is_refused_with_its_type(name: str, make: Callable[[Any], Any], allowed: Range) -> None:
    for value in allowed.wrong:
        words = f"{name} must be {allowed.need}, got {value!r} of type {type(value).__name__}"
        refused(lambda value=value: make(value), TypeError, words)


@EACH_NUMBER
def test_a_number_at_the_end_of_its_range_is_accepted(name: str, make: Callable[[Any], Any], allowed: Range) -> None:
    for value in allowed.inside:
        make(value)


@pytest.mark.parametrize("number", [np.float32(0.5), np.float64(0.5)], ids=["float32", "float64"])
def test_a_number_of_numpy_becomes_one_of_python(number: Any) -> None:
    """Otherwise numpy would take float64 for the type to compute in, and float32 arrays would become float64."""
    w = np.ones((2, 2), dtype=np.float32)
    for make in (ramda, rmda, proxsgd, proxgen):
        method = make(L1(number), lr=number)
        step = method.step(w, w, method.init(w))
        assert {type(method.lr), type(method.psi.strength)} == {float}  # type: ignore[attr-defined]
        assert step.w.dtype == step.solution.point.dtype == np.float32
    parts = (
        Constant(number),
        CubeRoot(number),
        AdamRoot(number, number),
        MovingAverage(number),
        ConstantAveraging(number),
    )
    assert all(type(value) in (float, bool) for part in parts for value in vars(part).values())


def test_an_integer_of_numpy_becomes_one_of_python() -> None:
    three: Any = np.int64(3)
    assert [type(steps) for steps in Stages((three,)).milestones] == [int]
    assert GroupLasso(0.1, axes=three).axes == (3,)
    assert [type(axis) for axis in vars(GroupLasso(0.1, axes=(three,)))["axes"]] == [int]
    assert type(FixedIterations(three).iterations) is type(SecularNewton(three).max_iterations) is int


def test_every_number_of_every_part_is_in_the_table() -> None:
    """By name: a part with a new hyper-parameter joins all three tests above with one line, or this one fails."""
    known = {name for name, _, _ in NUMBERS} | {"value"}  # messages call the value of an averaging `averaging`
    for kind in registry.KINDS:
        for name, part in registry.components(kind).items():
            if ":" in name:
                continue  # defined elsewhere, in another test
            numbers = {f.name for f in fields(part) if f.type in ("float", "int")}
            assert numbers <= known | NOT_IN_THE_TABLE, part


def test_fewer_iterations_at_most_than_at_least_are_refused() -> None:
    words = "max_iterations must be an integer >= 5, got 4"
    refused(lambda: RelativeDecrease(min_iterations=5, max_iterations=4), ValueError, words)


# --- other values -----------------------------------------------------------------------------------------------------

NO_AXES: tuple[Any, ...] = ("0", 1.5, np.array([0, 1]), (0, 1.5), True, (0, True), {0, 1}, ((0,),), (None,))
AXES = "axes must be an integer, a tuple of integers or None, got"

VALUES: list[tuple[Callable[[], Any], type[Exception], str]] = [
    *((lambda axes=axes: GroupLasso(0.1, axes=axes), TypeError, f"{AXES} {axes!r}") for axes in NO_AXES),
    (
        lambda: GroupLasso(0.1, axes=()),
        ValueError,
        "axes must name at least one axis, got (); for groups of one entry use L1",
    ),
    (lambda: GroupLasso(0.1, 0, 1), TypeError, "scale_by_size must be True or False, got 1"),  # type: ignore[arg-type]
    (lambda: proxgen(betas=0.9), TypeError, "betas must be a pair of numbers in [0, 1), got 0.9"),  # type: ignore[arg-type]
    (lambda: proxgen(betas=(0.9,)), TypeError, "betas must be a pair of numbers in [0, 1), got (0.9,)"),  # type: ignore[arg-type]
    (lambda: Stages((5, 3)), ValueError, "milestones must increase, got (5, 3)"),
    (lambda: Stages((3, 3)), ValueError, "milestones must increase, got (3, 3)"),
    (lambda: Stages(3), TypeError, "milestones must be a tuple of integers, got 3"),  # type: ignore[arg-type]
    (lambda: ProximalGradient(1e-8), TypeError, "default must be a StoppingRule, got 1e-08 of type float; for example"),  # type: ignore[arg-type]
    (lambda: ramda(0.1), TypeError, "psi must be a Regularizer, got 0.1 of type float; for example"),  # type: ignore[arg-type]
    (lambda: ramda(L1), TypeError, "psi must be a Regularizer, got the class L1; for example"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("make", "kind", "words"), VALUES, ids=[words for _, _, words in VALUES])
def test_a_value_that_makes_no_sense_is_refused(make: Callable[[], Any], kind: type[Exception], words: str) -> None:
    refused(make, kind, words)


# What is put in place of each part: a part of another kind, a class, a plain value.
PARTS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "psi": ("Regularizer", (SecularNewton(), L1, None, 0.1)),
    "estimator": ("GradientEstimator", (CubeRoot(), DualAveraging, None, "dual")),
    "preconditioner": ("Preconditioner", (DualAveraging(), CubeRoot, None, 1.0)),
    "weighting": ("Weighting", (ConstantAveraging(0.5), SqrtWeighting, None, 1.0)),
    "averaging": ("Averaging", (SqrtWeighting(), ConstantAveraging, None, 0.5)),
    "solver": ("SubproblemSolver", (L1(0.1), SecularNewton, None, "newton")),
    "stopping": ("StoppingRule", (SecularNewton(), SubgradientNorm, 1e-8)),
}


@pytest.mark.parametrize(("name", "kind", "values"), [(name, *rest) for name, rest in PARTS.items()], ids=PARTS)
def test_a_part_in_the_place_of_another_is_refused(name: str, kind: str, values: tuple[Any, ...]) -> None:
    for value in values:
        given = (
            f"the class {value.__name__}" if isinstance(value, type) else f"{value!r} of type {type(value).__name__}"
        )
        words = f"{name} must be a {kind}, got {given}; for example "
        refused(lambda value=value: replace(ramda(), **{name: value}), TypeError, words)


def test_weight_decay_is_refused_where_it_has_no_meaning() -> None:
    words = "weight_decay must be 0 for a method anchored at W_0, got 0.1; use psi"
    refused(lambda: replace(ramda(), weight_decay=0.1), ValueError, words)


@pytest.mark.parametrize("anchor", ["first", None, 0])
def test_an_unknown_anchor_is_refused(anchor: Any) -> None:
    words = f"anchor must be one of 'initial', 'previous', got {anchor!r}"
    refused(lambda: replace(ramda(), anchor=anchor), ValueError, words)


# --- arrays -----------------------------------------------------------------------------------------------------------


@dataclass
class Fixed:
    """A problem with the gradients given, and then zeros."""

    start: Any = field(default_factory=lambda: np.ones(2))
    gradients: tuple[Any, ...] = ()
    calls: int = 0

    def gradient(self, w: Array, rng: np.random.Generator) -> Array:
        self.calls += 1
        return self.gradients[self.calls - 1] if self.calls <= len(self.gradients) else np.zeros_like(w)


REAL = "must be an array of real floating-point numbers, got dtype"
STARTS: list[tuple[Any, type[Exception], str]] = [
    (np.arange(2), TypeError, f"problem.start {REAL} int64; convert it to float32 or float64"),
    (np.ones(2, dtype=bool), TypeError, f"problem.start {REAL} bool; convert it"),
    (np.ones(2, dtype=complex), TypeError, f"problem.start {REAL} complex128; convert it"),
    (torch.ones(2, dtype=torch.int32), TypeError, f"problem.start {REAL} torch.int32; convert it"),
    (
        [1.0, 2.0],
        TypeError,
        "problem.start must be an array (numpy, torch, cupy, ...), got list; convert it, for example",
    ),
    (1.0, TypeError, "problem.start must be an array (numpy, torch, cupy, ...), got float; convert it, for example"),
    (None, TypeError, "problem.start must be an array (numpy, torch, cupy, ...), got NoneType; convert it"),
    (np.array([1.0, math.nan]), ValueError, "problem.start must be finite, but it holds NaN or infinity; "),
    (torch.tensor([1.0, -math.inf]), ValueError, "problem.start must be finite, but it holds NaN or infinity; "),
    (np.array(1.0), ValueError, "problem.start: GroupLasso: axes (0,) do not exist in an array of shape ()"),
]


@pytest.mark.parametrize(("start", "kind", "words"), STARTS, ids=[repr(start) for start, _, _ in STARTS])
def test_a_start_is_refused_before_the_first_gradient(start: Any, kind: type[Exception], words: str) -> None:
    problem = Fixed(start)
    refused(lambda: minimize(problem, ramda(GroupLasso(0.1, axes=0)), steps=3), kind, words)
    assert problem.calls == 0


GRADIENTS: list[tuple[Any, type[Exception], str]] = [
    (np.ones(3), ValueError, "must have the shape (2,) and dtype float64 of the start, got (3,) and float64"),
    (np.ones((1, 2)), ValueError, "must have the shape (2,) and dtype float64 of the start, got (1, 2) and float64"),
    (
        np.ones(2, np.float32),
        ValueError,
        "must have the shape (2,) and dtype float64 of the start, got (2,) and float32",
    ),
    (np.ones(2, int), TypeError, f"{REAL} int64"),
    ([1.0, 1.0], TypeError, "must be an array (numpy, torch, cupy, ...), got list"),
    (None, TypeError, "must be an array (numpy, torch, cupy, ...), got NoneType"),
    (np.array([1.0, math.nan]), ValueError, "must be finite, but it holds NaN or infinity; lower lr"),
    (np.array([math.inf, 1.0]), ValueError, "must be finite, but it holds NaN or infinity; lower lr"),
]


@pytest.mark.parametrize(("bad", "kind", "words"), GRADIENTS, ids=[repr(bad) for bad, _, _ in GRADIENTS])
@pytest.mark.parametrize("method", [ramda(L1(0.1)), proxgen(L1(0.1))], ids=["ramda", "proxgen"])
def test_a_gradient_is_refused_at_its_step_and_changes_nothing(
    method: Any, bad: Any, kind: type[Exception], words: str
) -> None:
    """The steps before it are as they are in a run that ends there, to the last bit of the state."""
    good = (np.array([1.0, -2.0]), np.array([0.5, 1.0]))
    seen: list[Progress] = []
    problem = Fixed(gradients=(*good, bad))
    refused(
        lambda: minimize(problem, method, steps=9, callback=seen.append),  # type: ignore[arg-type]
        kind,
        f"the gradient of step 3 {words}",
    )
    whole = minimize(Fixed(gradients=good), method, steps=2)
    assert [progress.steps for progress in seen] == [1, 2] and problem.calls == 3
    np.testing.assert_equal((seen[-1].w, tuple(seen[-1].state)), (whole.w, tuple(whole.state)))


def test_a_method_that_is_no_method_is_refused() -> None:
    words = "method must be a ProximalMethod, got "
    for method in ("ramda", ramda, None):
        refused(lambda method=method: minimize(Fixed(), method, steps=1), TypeError, words)  # type: ignore[arg-type]


# --- the checks themselves --------------------------------------------------------------------------------------------


MODEL = torch.nn.Linear(3, 2)
SGD: Any = torch.optim.SGD(MODEL.parameters(), lr=0.1)
ZEROS: Any = np.zeros(100)
LONG: dict[str, tuple[Callable[[], Any], str]] = {
    "scheduler": (
        lambda: StageScheduler(SGD, Stages((1,))),
        "optimizer must be a MethodOptimizer, got an object of type SGD; for example",
    ),
    "model": (lambda: regularize(SGD, L1(0.1)), "model must be a Module, got an object of type SGD; give"),
    "psi": (lambda: regularize(MODEL, SGD), "psi must be a Regularizer, got an object of type SGD; for"),
    "number": (lambda: L1(SGD), "strength must be a finite number >= 0, got an object of type SGD"),
    "integer": (
        lambda: minimize(Fixed(np.ones(2)), ramda(), steps=SGD),
        "steps must be an integer >= 0, got an object of",
    ),
    "flag": (
        lambda: RAMDA(MODEL.parameters(), maximize=SGD),
        "maximize must be True or False, got an object of type SGD",
    ),
    "factory": (
        lambda: MethodOptimizer(MODEL.parameters(), SGD),
        "factory must be a function .*, got an object of type SGD",
    ),
    "rule": (lambda: regularize(MODEL, [SGD]), "rule 1 must be a pair .*, got an object of type SGD; give"),
    "what": (lambda: regularize(MODEL, [(SGD, None)]), "rule 1 must be for .*; got an object of type SGD"),
    "array": (lambda: L1(ZEROS), "strength must be a finite number >= 0, got an object of type ndarray"),
}


@pytest.mark.parametrize(("make", "words"), LONG.values(), ids=LONG)
def test_what_takes_lines_to_write_is_named_by_its_type(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(TypeError, match=f"^{words}") as caught:
        make()
    assert len(str(caught.value)) < 250


def test_a_choice_names_what_is_allowed() -> None:
    validate.choice("colour", "red", iter(["red", "blue"]))
    words = "colour must be one of 'red', 'blue', got 'green'"
    refused(lambda: validate.choice("colour", "green", iter(["red", "blue"])), ValueError, words)


@pytest.mark.parametrize(
    "array", [np.ones(2), np.ones(2, np.float32), torch.ones(2), torch.ones(2, dtype=torch.bfloat16)]
)
def test_arrays_of_floating_point_numbers_are_accepted(array: Array) -> None:
    validate.floating("w", array)


def test_real_gives_the_number_as_a_python_float() -> None:
    assert [validate.real("x", x) for x in (1, np.float32(0.5), -0.0)] == [1.0, 0.5, 0.0]
    assert type(validate.real("x", np.float32(0.5))) is float

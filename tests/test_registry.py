"""Parts survive the way to plain data and back, and data that describe no part are refused in one line of reasons."""

from __future__ import annotations

import inspect
import json
import math
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pytest
import yaml

from optkit.algorithms import ConstantAveraging, ProximalMethod, SquareRootRamp, Stages, proxgen, ramda
from optkit.core import Averaging, Preconditioner, Regularizer, StoppingRule, SubproblemSolver
from optkit.registry import KINDS, DataError, call, components, from_data, to_data
from optkit.regularizers import L1, GroupLasso, Scaled
from optkit.solvers import FixedIterations, ProximalGradient, RelativeDecrease, SubgradientNorm

# --- round trips ------------------------------------------------------------------------------------------------------

PUBLIC = [(kind, part) for kind in KINDS for name, part in components(kind).items() if ":" not in name]
# What stands in for a needed field of each type; a part that wants other values is written out in SPECIAL.
VALUES: list[tuple[Any, Any]] = [
    (float, 0.25),
    (int, 3),
    (bool, False),
    (str, "text"),
    (tuple[float, ...], (-1.0, 0.0, 2.0)),
    (Any | float, 0.25),
    (StoppingRule, FixedIterations(3)),
    (Regularizer, GroupLasso(0.5, axes=(0, 2))),
]
SPECIAL: dict[str, dict[str, Any]] = {"NMSparsity": {"n": 2, "m": 4}}


def example(part: type) -> Any:
    """The part with a value in every needed field."""
    hints = typing.get_type_hints(part)
    needed = [p.name for p in inspect.signature(part).parameters.values() if p.default is inspect.Parameter.empty]
    values = {name: next(value for kind, value in VALUES if hints[name] == kind) for name in needed}
    return part(**values | SPECIAL.get(part.__name__, {}))


EXAMPLES: list[tuple[type, Any]] = [
    *((kind, example(part)) for kind, part in PUBLIC),
    (Regularizer, GroupLasso(0, axes=-1, scale_by_size=False)),
    (Regularizer, GroupLasso(1e-4, axes=(0, 2, 3))),
    (SubproblemSolver, ProximalGradient(RelativeDecrease(1e-3, 2, 5))),
    (Averaging, SquareRootRamp(1)),
    (Stages, Stages((20, 40), 0.5, 1.0, ramp=None)),
    (Stages, Stages()),
]
WRITERS: dict[str, Callable[[Any], Any]] = {
    "as it is": lambda data: data,
    "json": lambda data: json.loads(json.dumps(data)),
    "yaml": lambda data: yaml.safe_load(yaml.safe_dump(data)),
}


def test_every_kind_has_a_public_part() -> None:
    assert {kind for kind, _ in PUBLIC} == set(KINDS)


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize(("kind", "part"), EXAMPLES, ids=str)
def test_a_part_comes_back(kind: type, part: Any, writer: Callable[[Any], Any]) -> None:
    back = from_data(kind, writer(to_data(part)), "part")
    assert type(back) is type(part) and back == part


def test_how_a_part_is_written() -> None:
    lasso = {"name": "GroupLasso", "strength": 1e-4, "axes": [0, 2], "scale_by_size": True}
    assert to_data(GroupLasso(1e-4, axes=(0, 2))) == lasso
    rule = {"name": "SubgradientNorm", "epsilon": 0.1, "max_iterations": 7, "power": 0.0}
    solver = {"name": "ProximalGradient", "default": rule, "backtracking": False, "local": False}
    assert to_data(ProximalGradient(SubgradientNorm(0.1, 7))) == solver


def test_what_is_not_said_is_the_default_and_integers_are_numbers() -> None:
    part = from_data(Regularizer, {"name": "GroupLasso", "strength": 1}, "psi")
    assert part == GroupLasso(1.0) and type(part.strength) is float


@dataclass(frozen=True)
class Shifted(L1):
    """A part that is defined outside optkit."""

    shift: tuple[float, ...] = ()


def test_a_part_of_ones_own_comes_back() -> None:
    part = Shifted(0.1, (1.0, 2.0))
    data = to_data(part)
    assert data["name"].endswith(":Shifted")
    assert from_data(Regularizer, json.loads(json.dumps(data)), "psi") == part


def test_the_arguments_of_a_method_are_read() -> None:
    penalty = {"name": "L1", "strength": 0.1}
    method: ProximalMethod = call(ramda, {"psi": penalty, "lr": 1, "averaging": 0.5}, "method")
    assert method == ramda(L1(0.1), 1.0, 0.5)
    ramp = {"name": "SquareRootRamp", "value": 0.5}
    assert call(ramda, {"averaging": ramp}, "method") == ramda(averaging=SquareRootRamp(0.5))
    assert call(proxgen, {"betas": [0.5, 0.9], "stopping": None}, "method") == proxgen(betas=(0.5, 0.9))


# --- refusals ---------------------------------------------------------------------------------------------------------

L1_AT_MINUS_1 = {"name": "L1", "strength": -1}
AVERAGING = float | Averaging

# what is read, the data, and what the one line has to say, in this order
REFUSALS: list[tuple[Any, Any, list[str]]] = [
    # names of parts
    (
        Regularizer,
        {"name": "GroupLaso"},
        ["key.name: there is no Regularizer 'GroupLaso'; did you mean 'GroupLasso'?", "L1"],
    ),
    (SubproblemSolver, {"name": "L1"}, ["key.name: there is no SubproblemSolver 'L1'; ", "allowed: ", "ClosedForm"]),
    (Preconditioner, {"name": "cuberoot"}, ["key.name: there is no Preconditioner 'cuberoot'", "CubeRoot"]),
    (Regularizer, {"name": "Regularizer"}, ["key.name: there is no Regularizer 'Regularizer'; "]),
    (Regularizer, {"name": "Grouped"}, ["key.name: there is no Regularizer 'Grouped'; "]),
    (Regularizer, {"strength": 0.1}, ["key.name: missing; allowed: ", "L1"]),
    (Regularizer, {"name": None}, ["key.name: missing; allowed: "]),
    (Regularizer, {"name": ["L1"]}, ["key.name: there is no Regularizer ['L1']; "]),
    # keys
    (
        Regularizer,
        {"name": "L1", "strenght": 1},
        ["key.strenght: unknown key; did you mean 'strength'? allowed: strength"],
    ),
    (Regularizer, {"name": "Zero", "strength": 1}, ["key.strength: unknown key; allowed: none"]),
    (Regularizer, {"name": "L1"}, ["key.strength: missing; it is needed"]),
    (
        SubproblemSolver,
        {"name": "ProximalGradient", "default": {"name": "FixedIterations"}},
        ["key.default.iterations: mi"],
    ),
    (Regularizer, {"name": "L1", 3: 4}, ["key: needs strings as keys, got 3"]),
    # types
    (Regularizer, {"name": "L1", "strength": "0.1"}, ["key.strength: needs a number, got '0.1'"]),
    (Regularizer, {"name": "L1", "strength": True}, ["key.strength: needs a number, got True"]),
    (Regularizer, {"name": "L1", "strength": None}, ["key.strength: needs a number, got None"]),
    (Regularizer, {"name": "L1", "strength": [1]}, ["key.strength: needs a number, got [1]"]),
    (Regularizer, {"name": "GroupLasso", "strength": 1, "axes": 1.5}, ["key.axes: needs ", "a list", "got 1.5"]),
    (Regularizer, {"name": "GroupLasso", "strength": 1, "axes": [0, "1"]}, ["key.axes[1]: needs an integer, got '1'"]),
    (Regularizer, {"name": "GroupLasso", "strength": 1, "scale_by_size": 1}, ["key.scale_by_size: needs true or fa"]),
    (StoppingRule, {"name": "FixedIterations", "iterations": 3.0}, ["key.iterations: needs an integer, got 3.0"]),
    (StoppingRule, {"name": "FixedIterations", "iterations": True}, ["key.iterations: needs an integer, got True"]),
    (Regularizer, "L1", ["key: needs a mapping, got 'L1'"]),
    (Regularizer, None, ["key: needs a mapping, got None"]),
    (Regularizer | None, 3, ["key: needs a mapping or nothing, got 3"]),
    (AVERAGING, "ramp", ["key: needs a number or a mapping, got 'ramp'"]),
    (AVERAGING, {"name": "Ramp"}, ["key.name: there is no Averaging 'Ramp'; "]),
    (tuple[float, float], 0.9, ["key: needs a list, got 0.9"]),
    (tuple[float, float], [0.9], ["key: needs a list of 2, got [0.9]"]),
    (tuple[float, ...], [0.9, "x"], ["key[1]: needs a number, got 'x'"]),
    (dict[str, float], {"a": 1, "b": "x"}, ["key.b: needs a number, got 'x'"]),
    (
        Literal["initial", "previous"],
        "inital",
        ["key: got 'inital'; did you mean 'initial'? allowed: initial, previous"],
    ),
    (str, 3, ["key: needs a string, got 3"]),
    # values
    (Regularizer, L1_AT_MINUS_1, ["key: strength must be a finite number >= 0, got -1"]),
    (Regularizer, {"name": "L1", "strength": math.nan}, ["key: strength must be a finite number >= 0, got nan"]),
    (Regularizer, {"name": "GroupLasso", "strength": 1, "axes": []}, ["key: axes must name at least one axis"]),
    (
        SubproblemSolver,
        {"name": "ProximalGradient", "default": {"name": "SubgradientNorm", "epsilon": -1}},
        ["key.default: epsilon must be a finite number >= 0, got -1"],
    ),
    (Stages, {"milestones": [3, 2]}, ["key: milestones must increase, got "]),
    (ramda, {"lr": -1}, ["key: lr must be a finite number >= 0, got -1"]),
    (ramda, {"psi": L1_AT_MINUS_1}, ["key.psi: strength must be a finite number >= 0, got -1"]),
    (proxgen, {"betas": [0.9, 1.0]}, ["key: betas[1] must be a number in [0, 1), got 1.0"]),
    (proxgen, {"momentum": 0.9}, ["key.momentum: unknown key; ", "allowed: ", "betas"]),
]


@pytest.mark.parametrize(("hint", "data", "words"), REFUSALS, ids=[words[0] for *_, words in REFUSALS])
def test_a_refusal_is_one_line_with_the_key_what_was_given_and_what_is_allowed(
    hint: Any, data: Any, words: Any
) -> None:
    with pytest.raises(DataError) as raised:
        from_data(hint, data, "key")
    message, first, *rest = str(raised.value), *words
    assert message.startswith(first) and "\n" not in message
    for word in rest:
        assert word in message[len(first) :]


@pytest.mark.parametrize("value", [{1, 2}, len, Regularizer, [L1(1), object()]], ids=lambda value: type(value).__name__)
def test_what_is_no_plain_data_is_not_written(value: Any) -> None:
    with pytest.raises(TypeError, match="can not be written as plain data"):
        to_data(value)


def test_arrays_are_written_as_lists_and_read_as_arrays() -> None:
    psi = Scaled(L1(0.1), np.array([1.0, 0.0, 2.5]))
    data = to_data(psi)
    assert data == {"name": "Scaled", "psi": {"name": "L1", "strength": 0.1}, "factor": [1.0, 0.0, 2.5]}
    assert from_data(Regularizer, data, "key") == psi


def test_abstract_parts_are_no_components() -> None:
    assert {"L1", "GroupLasso", "Zero"} <= set(components(Regularizer))
    assert not {"Grouped", "Regularizer", "Support"} & set(components(Regularizer))
    assert components(Averaging)["ConstantAveraging"] is ConstantAveraging

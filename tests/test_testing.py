"""The preconditioners obey all laws of optkit.testing, and the kit is what its docstring says."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import optkit.algorithms
from optkit.algorithms import AdamRoot, Constant, CubeRoot, SqrtCount
from optkit.core import Preconditioner
from optkit.regularizers import L1, NuclearNorm
from optkit.solvers import ClosedForm
from optkit.testing import (
    BACKENDS,
    METHOD_LAWS,
    OPTIMIZER_LAWS,
    PRECONDITIONER_LAWS,
    REGULARIZER_LAWS,
    SOLVER_LAWS,
    LawBroken,
    check_preconditioner,
    check_regularizer,
    check_solver,
)

PRECONDITIONERS: list[Preconditioner[Any]] = [
    Constant(2.0),
    SqrtCount(),
    CubeRoot(),
    AdamRoot(),
    AdamRoot(0.0, 1e-3, bias_correction=False, amsgrad=True),
]


@pytest.mark.parametrize("law", PRECONDITIONER_LAWS)
@pytest.mark.parametrize("shape", [(2, 3), (), (3, 0), (2, 1, 2, 2)], ids=str)
@pytest.mark.parametrize("preconditioner", PRECONDITIONERS, ids=repr)
def test_the_laws_of_preconditioners_hold(preconditioner: Any, shape: tuple[int, ...], law: str) -> None:
    check_preconditioner(preconditioner, shape, laws=[law], examples=3)


def test_every_preconditioner_is_in_the_list() -> None:
    public = [getattr(optkit.algorithms, name) for name in optkit.algorithms.__all__]
    parts = {part for part in public if inspect.isclass(part) and issubclass(part, Preconditioner)}
    assert parts == {type(part) for part in PRECONDITIONERS}


def test_every_law_states_its_formula_in_its_first_line() -> None:
    kits: list[dict[str, Any]] = [
        REGULARIZER_LAWS,
        SOLVER_LAWS,
        PRECONDITIONER_LAWS,
        METHOD_LAWS,
        OPTIMIZER_LAWS,
    ]
    for laws in kits:
        for name, law in laws.items():
            assert law.__name__ == name and (law.__doc__ or "").splitlines()[0].endswith(".")


def test_numpy_is_always_a_back_end() -> None:
    assert {"numpy64", "numpy32"} <= set(BACKENDS)


def test_rounding_is_what_is_allowed() -> None:
    """Without any allowance the rounding errors of a lawful part break the law."""
    with pytest.raises(
        LawBroken, match=r"^L1\(strength=1.0\) on \(3,\) breaks prox_is_stationary on numpy32: "
    ) as caught:
        check_regularizer(L1, (3,), laws=["prox_is_stationary"], backends=["numpy32"], rounding=0.0, examples=50)
    assert isinstance(caught.value, AssertionError) and isinstance(caught.value.__cause__, AssertionError)


def test_a_shape_that_does_not_fit_is_refused_in_the_words_of_the_part() -> None:
    words = r"NuclearNorm needs a matrix, got shape \(3,\)"
    with pytest.raises(LawBroken, match=f"breaks the_shape_is_accepted on numpy64: {words}"):
        check_regularizer(NuclearNorm(0.1), (3,))
    with pytest.raises(ValueError, match=words):
        check_solver(ClosedForm(), NuclearNorm(0.1), (3,))

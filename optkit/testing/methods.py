"""The laws of methods, all of them, and how they are tried."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import strategies as st

from .backends import Backend
from .method_laws import LAWS
from .method_trial import MethodFactory, MethodTrial, Penalty, called, columns
from .running import Law, chosen, hold

METHOD_LAWS: dict[str, Law[MethodTrial]] = {law.__name__: law for law in LAWS}
"""The laws of methods by name; the first line of a law's docstring is its formula."""


def check_method(
    factory: MethodFactory,
    shape: tuple[int, int] = (4, 3),
    *,
    laws: Iterable[str] | None = None,
    backends: Iterable[str] | None = None,
    examples: int = 3,
    penalty: Penalty = columns,
    rounding: float = 64.0,
) -> None:
    """Raise LawBroken where a method breaks a law of methods.

        def test_my_method():
            check_method(my_method)

    factory: a function with the arguments psi (or without it) and lr that returns a ProximalMethod, such as
    optkit.algorithms.ramda;  shape: of the arrays;  penalty: makes the regularizer from a strength >= 0, by default the
    group lasso on columns;  rounding: errors of so many units in the last place of the largest number are allowed. The
    other arguments as in `check_regularizer`. Raises ValueError for a name that is no law.
    """

    def trial(backend: Backend, data: st.DataObject) -> MethodTrial:
        return MethodTrial(factory, penalty, shape, backend, data, rounding)

    hold(f"{called(factory)} on {shape}", chosen(METHOD_LAWS, laws), trial, (backends, examples))

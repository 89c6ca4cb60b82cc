"""The laws of optimizers, all of them, and how they are tried."""

from __future__ import annotations

from collections.abc import Iterable

from optkit.testing.method_trial import Penalty, called, columns
from optkit.testing.running import Law, LawBroken, chosen

from . import checkpoints, groups, stacks, state, stepping, structure, tensors
from .trial import Make, OptimizerTrial

_LAWS = (*stepping.LAWS, *groups.LAWS, *state.LAWS, *checkpoints.LAWS, *tensors.LAWS, *structure.LAWS, *stacks.LAWS)
OPTIMIZER_LAWS: dict[str, Law[OptimizerTrial]] = {law.__name__: law for law in _LAWS}
"""The laws of optimizers by name; the first line of a law's docstring is its statement."""


def check_optimizer(make: Make, *, laws: Iterable[str] | None = None, penalty: Penalty = columns) -> None:
    """Raise LawBroken where an optimizer breaks a law of optimizers.

        def test_my_optimizer():
            check_optimizer(lambda params, **options: MethodOptimizer(params, my_method, **{"lr": 0.1, **options}))

    make: a class of optkit.torch, or any function (params, **options) that returns a MethodOptimizer; the options are
    lr, maximize and nonfinite, and params all that torch.optim accepts.
    laws: names from OPTIMIZER_LAWS, all for None;  penalty: makes the regularizer of matrices from a strength >= 0, by
    default the group lasso on columns; not used where the method takes none. Raises ValueError for a name that is no
    law.
    """
    trial = OptimizerTrial(make, penalty)
    for name, each in chosen(OPTIMIZER_LAWS, laws).items():
        try:
            each(trial)
        except Exception as error:
            statement = (each.__doc__ or "").strip().splitlines()[0]
            raise LawBroken(f"{called(make)} breaks {name}: {statement}  [{error}]") from error

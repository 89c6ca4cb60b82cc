"""The laws of the parts, to be tried on your own: a regularizer, a solver, a preconditioner, a method, an optimizer.

    from optkit.testing import check_regularizer

    def test_my_penalty():
        check_regularizer(lambda strength: MyPenalty(strength), (3, 4))

Each law is tried on numpy, torch and array-api-strict (those that are installed), in float32 and float64, on numbers
drawn by hypothesis, the same ones in every run; those of optimizers on torch only. LawBroken names the part, the law
and the back end. To see each law as a test of its own, parametrise over REGULARIZER_LAWS and call
check_regularizer(..., laws=[name]). Needs the extra `testing`.
"""

from .backends import BACKENDS, Backend, host
from .drawing import floats, wide_floats
from .methods import METHOD_LAWS, check_method
from .optimizers import OPTIMIZER_LAWS, check_optimizer
from .preconditioners import PRECONDITIONER_LAWS, check_preconditioner
from .regularizers import REGULARIZER_LAWS, check_regularizer
from .running import LawBroken, settled
from .solvers import SOLVER_LAWS, check_solver

__all__ = [
    "BACKENDS",
    "METHOD_LAWS",
    "OPTIMIZER_LAWS",
    "PRECONDITIONER_LAWS",
    "REGULARIZER_LAWS",
    "SOLVER_LAWS",
    "Backend",
    "LawBroken",
    "check_method",
    "check_optimizer",
    "check_preconditioner",
    "check_regularizer",
    "check_solver",
    "floats",
    "host",
    "settled",
    "wide_floats",
]

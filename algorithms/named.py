"""Named methods: each a choice of parts, none with a step of its own.

All take psi, the regularizer (default: none), `lr` >= 0, and by keyword `solver` and `stopping` (see ProximalMethod).
They raise ValueError or TypeError, naming the argument, for values out of range.
"""

from __future__ import annotations

from optkit import validate
from optkit.core import Averaging, Regularizer, StoppingRule, SubproblemSolver
from optkit.regularizers import Zero
from optkit.solvers import Automatic

from .averaging import ConstantAveraging
from .estimators import DualAveraging, MovingAverage
from .method import ProximalMethod
from .preconditioners import AdamRoot, Constant, CubeRoot, SqrtCount
from .weightings import ConstantWeighting, SqrtWeighting

NO_PENALTY = Zero()
BEST = Automatic()


def ramda(
    psi: Regularizer = NO_PENALTY,
    lr: float = 1e-2,
    averaging: float | Averaging = 0.01,
    epsilon: float = 1e-6,
    *,
    solver: SubproblemSolver = BEST,
    stopping: StoppingRule | None = None,
) -> ProximalMethod:
    """V_t = sum s_k g_k, metric (sum s_k g_k * g_k)^(1/3) + epsilon, weight sum s_k, anchored at W_0; s_t = lr sqrt(t).

    averaging: c in (0, 1], or an Averaging;  epsilon: > 0. With psi = 0 it is MADGRAD.

    Reference: RAMDA paper (NeurIPS 2024), Algorithm 1.
    """
    return ProximalMethod(
        psi=psi,
        estimator=DualAveraging(),
        preconditioner=CubeRoot(epsilon),
        weighting=SqrtWeighting(),
        anchor="initial",
        lr=lr,
        averaging=_averaging(averaging),
        solver=solver,
        stopping=stopping,
    )


def rmda(
    psi: Regularizer = NO_PENALTY,
    lr: float = 1e-1,
    averaging: float | Averaging = 0.01,
    *,
    solver: SubproblemSolver = BEST,
    stopping: StoppingRule | None = None,
) -> ProximalMethod:
    """V_t = sum s_k g_k, metric sqrt(t), weight sum s_k, anchored at W_0; s_t = lr sqrt(t).

    averaging: c in (0, 1], or an Averaging. With psi = 0 it is modernized dual averaging (MDA).

    Reference: Huang and Lee, "Training structured neural networks through manifold identification and variance
    reduction", 2022.
    """
    return ProximalMethod(
        psi=psi,
        estimator=DualAveraging(),
        preconditioner=SqrtCount(),
        weighting=SqrtWeighting(),
        anchor="initial",
        lr=lr,
        averaging=_averaging(averaging),
        solver=solver,
        stopping=stopping,
    )


def proxsgd(
    psi: Regularizer = NO_PENALTY,
    lr: float = 1e-1,
    momentum: float = 0.1,
    *,
    solver: SubproblemSolver = BEST,
    stopping: StoppingRule | None = None,
) -> ProximalMethod:
    """m_t = (1 - momentum) m_{t-1} + momentum g_t with m_0 = 0; W_t = prox_{lr psi}(W_{t-1} - lr m_t).

    momentum: the weight of the new gradient, in (0, 1].

    Reference: the form that the RAMDA paper (NeurIPS 2024) compares with, after Yang et al., "ProxSGD", 2020.
    """
    return ProximalMethod(
        psi=psi,
        estimator=MovingAverage(momentum),
        preconditioner=Constant(),
        weighting=ConstantWeighting(),
        anchor="previous",
        lr=lr,
        solver=solver,
        stopping=stopping,
    )


def proxgen(
    psi: Regularizer = NO_PENALTY,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
    *,
    solver: SubproblemSolver = BEST,
    stopping: StoppingRule | None = None,
) -> ProximalMethod:
    """Adam's moving averages and metric / lr, anchored at W_{t-1}, with weight decay before the step.

    betas: the decay of the gradient's and of its square's average, in [0, 1);  epsilon: > 0;  weight_decay: >= 0.

    Reference: Yun, Lozano and Yang, "Adaptive proximal gradient methods for structured neural networks", 2021.
    """
    gradient_decay, square_decay = _pair(betas)
    return ProximalMethod(
        psi=psi,
        estimator=MovingAverage(1 - gradient_decay, bias_correction=True),
        preconditioner=AdamRoot(square_decay, epsilon),
        weighting=ConstantWeighting(),
        anchor="previous",
        lr=lr,
        weight_decay=weight_decay,
        solver=solver,
        stopping=stopping,
    )


def adamw(
    lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), epsilon: float = 1e-8, weight_decay: float = 1e-2
) -> ProximalMethod:
    """ProxGen with psi = 0, the dense twin of the adaptive methods: equal to torch.optim.AdamW. Arguments as there.

    Reference: Loshchilov and Hutter, "Decoupled weight decay regularization", 2019.
    """
    return proxgen(NO_PENALTY, lr, betas, epsilon, weight_decay)


def _averaging(value: float | Averaging) -> Averaging:
    return value if isinstance(value, Averaging) else ConstantAveraging(value)


def _pair(betas: tuple[float, float]) -> tuple[float, float]:
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise TypeError(f"betas must be a pair of numbers in [0, 1), got {betas!r}")
    return validate.decay("betas[0]", betas[0]), validate.decay("betas[1]", betas[1])

"""Named methods: each a choice of parts, none with a step of its own.

All take psi, the regularizer (default: none), `lr` >= 0, and by keyword `solver` and `stopping` (see ProximalMethod).
They raise ValueError or TypeError, naming the argument, for values out of range.
"""

from __future__ import annotations

from dataclasses import replace

from optkit import validate
from optkit.core import Averaging, Regularizer, StoppingRule, SubproblemSolver
from optkit.regularizers import Zero
from optkit.solvers import Automatic, NewtonRaphson

from .averaging import ConstantAveraging, DecayingAveraging
from .estimators import DecayingAverage, DualAveraging, MovingAverage, UncorrectedAdamAverage
from .method import ProximalMethod
from .preconditioners import AdamRoot, Constant, CubeRoot, SqrtCount
from .weightings import ConstantWeighting, SqrtWeighting

NO_PENALTY = Zero()
BEST = Automatic()
NEWTON = NewtonRaphson()


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


def rda(
    psi: Regularizer = NO_PENALTY,
    lr: float = 1e-1,
    *,
    solver: SubproblemSolver = BEST,
    stopping: StoppingRule | None = None,
) -> ProximalMethod:
    """W_t = argmin <gbar_t, w> + psi(w) + gamma / (2 sqrt(t)) ||w - W_0||^2, gbar_t the mean gradient, gamma = 1 / lr.

    Reference: Xiao, "Dual averaging methods for regularized stochastic learning and online optimization", 2010, (8)
    with beta_t = gamma sqrt(t).
    """
    return ProximalMethod(
        psi=psi,
        estimator=DualAveraging(),
        preconditioner=SqrtCount(),
        weighting=ConstantWeighting(),
        anchor="initial",
        lr=lr,
        solver=solver,
        stopping=stopping,
    )


def proxsgd(
    psi: Regularizer = NO_PENALTY,
    lr: float = 1e-1,
    momentum: float = 0.1,
    *,
    published: bool = False,
    solver: SubproblemSolver = BEST,
    stopping: StoppingRule | None = None,
) -> ProximalMethod:
    """m_t = (1 - momentum) m_{t-1} + momentum g_t with m_0 = 0; W_t = prox_{lr psi}(W_{t-1} - lr m_t).

    momentum: the weight of the new gradient, in (0, 1].  published: the method of the authors' paper instead of the one
    that the RAMDA paper compares with: W_t = W_{t-1} + eps_t (What_t - W_{t-1}), where What_t minimises
    <m_t, w> + 1/2 ||w - W_{t-1}||^2 + psi(w) in Adam's metric, eps_t = lr / sqrt(t + 4) and the weight of the new
    gradient is momentum / sqrt(t + 4); both are at most 1. There lr may be any number >= 0 (0.06 in the paper) and
    momentum any number > 0 (0.9).

    Reference: Yang, Yuan, Chatzimichailidis, van Sloun, Lei and Chatzinotas, "ProxSGD: training structured neural
    networks under regularization and constraints", 2020, Algorithm 1; RAMDA paper (NeurIPS 2024), section 6.
    """
    validate.flag("published", published)
    average = ConstantAveraging(1.0) if not published else DecayingAveraging(validate.nonnegative("lr", lr))
    return ProximalMethod(
        psi=psi,
        estimator=DecayingAverage(momentum) if published else MovingAverage(momentum),
        preconditioner=AdamRoot() if published else Constant(),
        weighting=ConstantWeighting(),
        anchor="previous",
        lr=1.0 if published else lr,
        averaging=average,
        solver=solver,
        stopping=stopping,
    )


def proxgen(
    psi: Regularizer = NO_PENALTY,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
    amsgrad: bool = False,
    *,
    solver: SubproblemSolver = BEST,
    stopping: StoppingRule | None = None,
) -> ProximalMethod:
    """Adam's moving averages and metric / lr, anchored at W_{t-1}, with weight decay before the step.

    betas: the decay of the gradient's and of its square's average, in [0, 1);  epsilon: > 0;  weight_decay: >= 0;
    amsgrad: whether the metric never falls.

    Reference: Yun, Lozano and Yang, "Adaptive proximal gradient methods for structured neural networks", 2021.
    """
    gradient_decay, square_decay = _pair(betas)
    return ProximalMethod(
        psi=psi,
        estimator=MovingAverage(1 - gradient_decay, bias_correction=True),
        preconditioner=AdamRoot(square_decay, epsilon, amsgrad=amsgrad),
        weighting=ConstantWeighting(),
        anchor="previous",
        lr=lr,
        weight_decay=weight_decay,
        solver=solver,
        stopping=stopping,
    )


def proxssi(
    psi: Regularizer = NO_PENALTY,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
    *,
    published: bool = False,
    solver: SubproblemSolver = NEWTON,
    stopping: StoppingRule | None = None,
) -> ProximalMethod:
    """ProxGen with another subproblem solver, NewtonRaphson, and so for functions of the norms of groups.

    published: as the authors' code runs it, with a metric without bias correction, while the move along the gradient is
    still Adam's, and with weight decay after that move; its default epsilon is 1e-6. All other arguments are proxgen's:
    betas, epsilon, weight_decay.

    Reference: Deleu and Bengio, "Structured sparsity inducing adaptive optimizers for deep learning", 2021.
    """
    validate.flag("published", published)
    solver = BEST if isinstance(psi, Zero) and solver is NEWTON else solver
    method = proxgen(psi, lr, betas, epsilon, weight_decay, solver=solver, stopping=stopping)
    if not published:
        return method
    gradient_decay, square_decay = _pair(betas)
    return replace(
        method,
        estimator=UncorrectedAdamAverage(1 - gradient_decay, square_decay=square_decay),
        preconditioner=AdamRoot(square_decay, epsilon, bias_correction=False),
        decay="after",
    )


def madgrad(lr: float = 1e-2, averaging: float | Averaging = 0.1, epsilon: float = 1e-6) -> ProximalMethod:
    """RAMDA with psi = 0. Its averaging is one minus the momentum of the authors' code, which adds epsilon to lr.

    Reference: Defazio and Jelassi, "Adaptivity without compromise: a momentumized, adaptive, dual averaged gradient
    method", 2022.
    """
    return ramda(NO_PENALTY, lr, averaging, epsilon)


def mda(lr: float = 1e-1, averaging: float | Averaging = 0.1) -> ProximalMethod:
    """RMDA with psi = 0, modernized dual averaging.

    Reference: Jelassi and Defazio, "Dual averaging is surprisingly effective for deep learning optimization", 2020.
    """
    return rmda(NO_PENALTY, lr, averaging)


def msgd(lr: float = 1e-1, momentum: float = 0.1) -> ProximalMethod:
    """ProxSGD with psi = 0: torch.optim.SGD with lr * momentum for lr and 1 - momentum for momentum.

    momentum: the weight of the new gradient, in (0, 1].

    Reference: Polyak, "Some methods of speeding up the convergence of iteration methods", 1964.
    """
    return proxsgd(NO_PENALTY, lr, momentum)


def adamw(
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-8,
    weight_decay: float = 1e-2,
    amsgrad: bool = False,
) -> ProximalMethod:
    """ProxGen with psi = 0, the dense twin of the adaptive methods: equal to torch.optim.AdamW. Arguments as there.

    Reference: Loshchilov and Hutter, "Decoupled weight decay regularization", 2019.
    """
    return proxgen(NO_PENALTY, lr, betas, epsilon, weight_decay, amsgrad)


def _averaging(value: float | Averaging) -> Averaging:
    return value if isinstance(value, Averaging) else ConstantAveraging(value)


def _pair(betas: tuple[float, float]) -> tuple[float, float]:
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise TypeError(f"betas must be a pair of numbers in [0, 1), got {betas!r}")
    return validate.decay("betas[0]", betas[0]), validate.decay("betas[1]", betas[1])

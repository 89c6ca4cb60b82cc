"""The named methods as optimizers."""

from __future__ import annotations

from typing import Any

from optkit.algorithms import proxgen, proxsgd, proxssi, ramda, rmda
from optkit.core import Averaging

from .optimizer import MethodOptimizer, Params


class RAMDA(MethodOptimizer):
    """RAMDA, regularized adaptive momentum dual averaging. Arguments beyond those here: see MethodOptimizer.

    lr: >= 0;  averaging: c in (0, 1], the weight of the new point, or an Averaging;  epsilon: > 0, added to
    the cube root.

    Reference: RAMDA paper (NeurIPS 2024), Algorithm 1.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        averaging: float | Averaging = 0.01,
        epsilon: float = 1e-6,
        **options: Any,
    ) -> None:
        super().__init__(params, ramda, lr=lr, averaging=averaging, epsilon=epsilon, **options)


class RMDA(MethodOptimizer):
    """RMDA, regularized momentum dual averaging. Arguments beyond those here: see MethodOptimizer.

    lr: >= 0;  averaging: c in (0, 1], the weight of the new point, or an Averaging.

    Reference: Huang and Lee, "Training structured neural networks through manifold identification and variance
    reduction", 2022.
    """

    def __init__(self, params: Params, lr: float = 1e-1, averaging: float | Averaging = 0.01, **options: Any) -> None:
        super().__init__(params, rmda, lr=lr, averaging=averaging, **options)


class ProxSGD(MethodOptimizer):
    """Proximal SGD with momentum. Arguments beyond those here: see MethodOptimizer.

    lr: >= 0;  momentum: the weight of the new gradient, in (0, 1];  published: the method of the ProxSGD paper, with
    Adam's metric and decaying weights, see optkit.algorithms.proxsgd.

    torch's OneCycleLR must have cycle_momentum=False: it would cycle this momentum, which is one minus that of torch.

    Reference: the form that the RAMDA paper (NeurIPS 2024) compares with, after Yang et al., "ProxSGD", 2020.
    """

    def __init__(
        self, params: Params, lr: float = 0.1, momentum: float = 0.1, published: bool = False, **options: Any
    ) -> None:
        super().__init__(params, proxsgd, lr=lr, momentum=momentum, published=published, **options)


class ProxGen(MethodOptimizer):
    """ProxGen with the metric of AdamW. Arguments beyond those here: see MethodOptimizer.

    lr: >= 0;  betas: in [0, 1);  epsilon: > 0;  weight_decay: >= 0, decoupled;  amsgrad: whether the metric
    never falls.

    Reference: Yun, Lozano and Yang, "Adaptive proximal gradient methods for structured neural networks", 2021.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        **options: Any,
    ) -> None:
        own: dict[str, Any] = {
            "lr": lr,
            "betas": betas,
            "epsilon": epsilon,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
        }
        super().__init__(params, proxgen, **own, **options)


class ProxSSI(MethodOptimizer):
    """ProxSSI: ProxGen with the Newton-Raphson solver. Arguments beyond those here: see MethodOptimizer.

    lr: >= 0;  betas: in [0, 1);  epsilon: > 0;  weight_decay: >= 0, decoupled;  published: with the authors' metric and
    order of the weight decay, see optkit.algorithms.proxssi.

    Reference: Deleu and Bengio, "Structured sparsity inducing adaptive optimizers for deep learning", 2021.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        published: bool = False,
        **options: Any,
    ) -> None:
        own: dict[str, Any] = {
            "lr": lr,
            "betas": betas,
            "epsilon": epsilon,
            "weight_decay": weight_decay,
            "published": published,
        }
        super().__init__(params, proxssi, **own, **options)

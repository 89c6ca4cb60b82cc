"""Proximal gradient for the nuclear norm as textbooks have it: one full decomposition an iteration, nothing else."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from optkit.core import Subproblem
from optkit.regularizers.svd import svd


class Textbook(NamedTuple):
    """The last point, after how many iterations, and whether a subgradient there was small enough."""

    point: Tensor
    iterations: int
    converged: bool


def textbook(problem: Subproblem, strength: float, start: Tensor, epsilon: float, most: int) -> Textbook:
    """Z_j = prox_theta(Z_{j-1} - theta grad(Z_{j-1})), theta = 1 / max of the metric, at most so many times.

    It ends at the first point with ||(metric - 1 / theta) (Z_j - Z_{j-1})|| <= epsilon + rounding, the subgradient that
    the iteration has at hand, with as much for rounding as `SubgradientNorm` grants.

    Reference: Cai, Candes and Shen, "A singular value thresholding algorithm for matrix completion", 2010.
    """
    curvature = float(torch.as_tensor(problem.metric).max())
    terms = problem.linear.abs() + problem.metric * (problem.anchor.abs() + start.abs())
    unit = torch.finfo(start.dtype).eps * (8 + 2 * max(start.shape) ** 0.5)
    bound = epsilon + unit * float(torch.linalg.vector_norm(terms))
    point = start
    for iteration in range(1, most + 1):
        previous, threshold = point, problem.weight * strength / curvature
        point = svd(previous - problem.gradient(previous) / curvature).shrink(threshold).compose()
        subgradient = (problem.metric - curvature) * (point - previous)
        if float(torch.linalg.vector_norm(subgradient)) <= bound:
            return Textbook(point, iteration, True)
    return Textbook(point, most, False)

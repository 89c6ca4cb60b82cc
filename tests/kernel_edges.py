"""States from which a step ends at the very edge of a zero: where a wrong threshold shows."""

from __future__ import annotations

import numpy as np

from optkit.regularizers import L1, MCP, ElasticNet, SparseGroupLasso

from .kernel_judge import Before, mapped

DISTANCES = (0.0, 1e-12, -1e-12, 1e-6, -1e-6, 1e-4, -1e-4, 1e-2, -1e-2)
"""Relative to the edge."""


def at_the_edge(before: Before, random: np.random.Generator) -> np.ndarray | None:
    """The gradient's sum or mean, changed on a part of the groups (or entries) so that after the step their ||b|| is
    the largest with which w = 0, up to one of DISTANCES; None where psi has no such edge.

    The linear term is (coefficient * sum + something of the gradient), so that any b can be had.
    """
    problem, method = before.problem, before.method
    metric = np.ones_like(before.w) * problem.metric
    b = metric * problem.anchor - problem.linear
    found = _edge(before, b, metric)
    if found is None:
        return None
    kept, level, size, edge = found
    known = size > 0
    with np.errstate(all="ignore"):
        factor = edge / size * (1 + random.choice(DISTANCES, size.shape))
    factor = np.where(known & (random.random(size.shape) < 0.5) & np.isfinite(factor), factor, 1.0)
    wanted = np.where(kept == 0, b, kept * factor + np.sign(kept) * level)
    clock = method.clock(before.step.state.t)
    unit = mapped(before.state.estimator, lambda value: np.ones_like(b) if isinstance(value, np.ndarray) else value)
    after = method.estimator.update(np.zeros_like(b), clock, unit)
    coefficient = np.asarray(method.estimator.linear(after, clock)[0])
    if method.weight_decay and method.decay == "after":
        coefficient = (1 - method.lr * method.weight_decay) * coefficient
    if not (coefficient > 0).all():
        return None
    return np.asarray(before.state.estimator[0] + (b - wanted) / coefficient)


def _edge(before: Before, b: np.ndarray, metric: np.ndarray) -> tuple[np.ndarray, float, np.ndarray, np.ndarray] | None:
    """(b less the level of entries, that level, its norm, the edge) on each block."""
    psi, weight = before.method.psi, before.problem.weight
    radial = psi.radial(b, weight)
    if radial is not None:
        kept = np.asarray(radial.b)
        size = np.sqrt(np.sum(kept * kept, axis=radial.axes, keepdims=True))
        concave = radial.concavity
        scalar = np.min(metric, axis=radial.axes, keepdims=True, initial=np.inf)
        hard = np.sqrt(scalar / concave) if concave else np.ones_like(size)
        level = weight * psi.level if isinstance(psi, SparseGroupLasso) else 0.0
        return kept, level, size, radial.threshold * np.where(scalar > concave, 1.0, hard)
    if isinstance(psi, MCP):
        scale = weight / metric
        return (
            b,
            0.0,
            np.abs(b),
            psi.strength * np.where(scale < psi.gamma, weight, metric * np.sqrt(psi.gamma * scale)),
        )
    if isinstance(psi, (L1, ElasticNet)):
        return b, 0.0, np.abs(b), np.full_like(b, weight * psi.slope)
    return None

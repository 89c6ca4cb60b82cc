"""Solutions that are known: planted ones, and those a deterministic method finds from exact gradients."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from optkit.core import Array, Manifold, Regularizer
from optkit.problems import LeastSquares


@dataclass(frozen=True)
class Truth:
    """A stationary point of F = f + psi: the point, dist(0, dF) there, the margin of Theorem 3, the manifold."""

    point: Array
    residual: float
    margin: float
    manifold: Manifold


def exact(problem: Any) -> Any:
    """The problem with exact gradients."""
    return replace(problem, batch=None)


def gradient(problem: Any, w: Array) -> Array:
    """grad f(w), exactly."""
    return exact(problem).gradient(w, np.random.default_rng(0))


def stationarity(problem: Any, psi: Regularizer, w: Array) -> float:
    """dist(0, dF(w)) for F = f + psi, with the exact gradient of f."""
    g = gradient(problem, w)
    return float(np.linalg.norm(g + psi.project_subdifferential(w, -g)))


def known(problem: Any, psi: Regularizer, w: Array) -> Truth:
    """The truth that w is."""
    margin = float(psi.margin(w, gradient(problem, w)))
    return Truth(w, stationarity(problem, psi, w), margin, psi.manifold(w))


def planted(
    psi: Regularizer, w: Array, margin: float, direction: Array, *, condition: float = 4.0, noise: float = 1.0
) -> LeastSquares:
    """Least squares with w as a stationary point of f + psi by construction, of this nondegeneracy margin.

    With u in the subdifferential of psi at w, targets = features @ w + r with features^T r / n = u make -grad f(w) = u:
    no solver is needed to know the solution. u is the element nearest to a multiple of `direction`, the multiple such
    that the margin is the one asked for (0: all blocks that the direction can bring to the boundary are on it).
    features^T features / n has eigenvalues from 1 / condition to 1, so that f is strongly convex with modulus
    1 / condition and its gradient is 1-Lipschitz; `noise` is the standard deviation of the part of r that no w
    explains, which is what makes stochastic gradients noisy.

    psi: fits w;  w, direction: (d,) or (d, k), d <= 100;  margin: >= 0.
    """
    rng, n, d = np.random.default_rng(0), 200, w.shape[0]
    basis, _ = np.linalg.qr(rng.standard_normal((n, d)))
    rotation, _ = np.linalg.qr(rng.standard_normal((d, d)))
    roots = np.sqrt(np.linspace(1.0, 1 / condition, d))
    features = math.sqrt(n) * basis * roots @ rotation.T
    u = _subgradient(psi, w, margin, direction)
    explained = math.sqrt(n) * basis @ ((rotation.T @ u).T / roots).T
    drawn = rng.standard_normal((n, *w.shape[1:]))
    return LeastSquares(features, features @ w + explained + noise * (drawn - basis @ (basis.T @ drawn)), batch=4)


def _subgradient(psi: Regularizer, w: Array, margin: float, direction: Array) -> Array:
    """The subgradient of psi at w with this margin that is nearest to a multiple of direction."""
    low, high = 0.0, 100.0
    if margin == 0:
        return psi.project_subdifferential(w, high * direction)
    for _ in range(100):
        middle = (low + high) / 2
        u = psi.project_subdifferential(w, middle * direction)
        low, high = (middle, high) if float(psi.margin(w, -u)) > margin else (low, middle)
    u = psi.project_subdifferential(w, low * direction)
    if abs(float(psi.margin(w, -u)) - margin) > 1e-9:
        raise ValueError(
            f"{psi} has no subgradient of margin {margin:g} in this direction; its margin is at most "
            f"{float(psi.margin(w, -u)):g}"
        )
    return u


def solve(problem: Any, psi: Regularizer, start: Array, tolerance: float = 1e-13, limit: int = 200_000) -> Truth:
    """A stationary point of f + psi, from exact gradients: accelerated proximal gradient steps with restarts on the
    whole objective. No part of the methods under test but psi's prox; the residual certifies it independently.

    For nonconvex psi: plain steps, no longer than half the inverse weak convexity where that is finite, which then stay
    near the start. tolerance: of the residual, times the length of grad f at the start where that is longer than 1.

    Raises ValueError where the limit of iterations comes first.

    Reference: O'Donoghue and Candes, "Adaptive restart for accelerated gradient schemes", 2015.
    """
    problem, point, ahead, momentum, curvature = exact(problem), start, start, 1.0, 1e-3
    rng = np.random.default_rng(0)
    tolerance *= max(1.0, float(np.linalg.norm(problem.gradient(start, rng))))
    floor = 0.0 if psi.convex else 2 * (psi.weak_convexity if math.isfinite(psi.weak_convexity) else 0.0)
    for iteration in range(limit):
        slope = problem.gradient(ahead, rng)
        while True:
            used = max(2 * curvature if not psi.convex else curvature, floor)
            new = psi.prox(ahead - slope / used, 1 / used)
            move = new - ahead
            bend = np.vdot(move, problem.gradient(new, rng) - slope)
            if not bend > curvature * np.vdot(move, move) * (1 + 1e-6):  # also where it is 0 or NaN
                break
            curvature *= 2
        if iteration % 10 == 0 and stationarity(problem, psi, new) <= tolerance:
            return known(problem, psi, new)
        if not psi.convex or np.vdot(ahead - new, new - point) > 0:
            ahead, momentum = new, 1.0
        else:
            grown = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
            ahead, momentum = new + (momentum - 1) / grown * (new - point), grown
        point = new
    raise ValueError(
        f"no stationary point of f + {psi} within {limit} iterations: {stationarity(problem, psi, point):.1e}"
    )

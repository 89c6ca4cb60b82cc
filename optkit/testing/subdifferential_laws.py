"""The laws of the subdifferential: a projection on the set of all subgradients."""

from __future__ import annotations

import numpy as np

from .backends import host
from .running import law
from .trial import Trial


def subgradients_bound_from_below(trial: Trial) -> None:
    """convex: psi(z) >= psi(w) + <s, z - w> for every z and the subgradient s at w nearest to any u."""
    psi, z, u = trial.ordinary(), trial.wide(), trial.wide()
    if not psi.convex:
        return
    w = psi.prox(trial.wide(), 1.0) if trial.pick(True, False) else trial.wide()
    s, move, size = host(psi.project_subdifferential(w, u)), host(z) - host(w), np.abs(host(z)) + np.abs(host(w))
    here, there = trial.values(psi, w), trial.values(psi, z)
    finite = np.isfinite(here) & np.isfinite(there) & (trial.blocks.max(~np.isfinite(s) * 1.0) == 0)
    s = np.where(np.isfinite(s), s, 0.0)  # blocks outside the domain, or with an overflow, say nothing
    with np.errstate(invalid="ignore"):
        line = here + trial.blocks.total(s * move)
        slack = trial.ulps * (trial.blocks.total(np.abs(s) * size) + np.abs(here) + np.abs(there))
        law((there >= line - slack) | ~finite, f"psi is {there} at {host(z)}, below the bound {line} from {host(w)}")


def strength_0_has_the_subgradient_0(trial: Trial) -> None:
    """strength 0: psi is 0 on its domain, and at its inner points 0 is the only subgradient."""
    psi, w, u = trial.make(0.0), trial.common(), trial.common()
    if getattr(psi, "strength", None) != 0:
        return
    s = host(psi.project_subdifferential(w, u))
    law(s == 0, f"the subgradient at {host(w)} nearest to {host(u)} is {s}")


def no_subgradients_outside_the_domain(trial: Trial) -> None:
    """Where psi(w) is infinite the subdifferential is empty, and its projection infinite."""
    psi, w, u = trial.ordinary(), trial.common(), trial.common()
    value = trial.blocks.total(host(psi.block_values(w)))
    s = host(psi.project_subdifferential(w, u))
    finite = trial.blocks.max(~np.isfinite(s) * 1.0) == 0
    law(np.isfinite(value) == finite, f"psi is {value} on the blocks of {host(w)}, the subgradient {s}")


def the_projection_is_the_nearest_subgradient(trial: Trial) -> None:
    """s = project_subdifferential(w, u) is its own projection, and no known subgradient at w is nearer to u."""
    psi, v, scale = trial.drawn()
    p, u = psi.prox(v, scale), trial.wide()
    s, other = psi.project_subdifferential(p, u), trial.wide()
    again = psi.project_subdifferential(p, s)
    numbers = trial.size(u, s, v / scale, p / scale)
    law(trial.within(host(again) - host(s), numbers), f"the projection {host(s)} is projected on {host(again)}")
    unit = trial.blocks.size(np.abs(host(u)) + np.abs(host(s)))  # distances without overflow
    far = _distance(trial, host(u) - host(s), unit)
    points = ((psi.project_subdifferential(p, x), x) for x in (other, 0 * u, -u, 0.5 * u, u + other))
    for each, x in ((v - p) / scale, 0 * u), *points:
        apart = _distance(trial, host(u) - host(each), unit)
        room = trial.ulps * (1 + (numbers + trial.size(x)) / np.where(unit > 0, unit, 1.0))
        law(far <= apart + room, f"{host(each)} is nearer to {host(u)} than the projection {host(s)}, at w = {host(p)}")


def _distance(trial: Trial, gap: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """The Euclidean norm of the gap on each block, in units of the block."""
    divisor = trial.blocks.spread(np.where(unit > 0, unit, 1.0))
    return np.sqrt(trial.blocks.total((gap / divisor) ** 2))


def subgradients_at_tiny_numbers_are_numbers(trial: Trial) -> None:
    """At subnormal w the projection is no NaN, and for convex psi with w in the domain finite."""
    psi, least = trial.ordinary(), np.finfo(trial.backend.dtype).smallest_subnormal
    w = trial.backend.array(np.full(trial.shape, float(least)))
    s = host(psi.project_subdifferential(w, 1 + w))
    law(~np.isnan(s), f"the subgradient at {host(w)} is {s}")
    inside = trial.blocks.spread(np.isfinite(trial.values(psi, w))) & psi.convex
    law(np.isfinite(s) | ~inside, f"the subgradient at {host(w)} is {s}")

"""The facts that a regularizer states about itself are implications, and hold."""

from __future__ import annotations

import math

import numpy as np

from .backends import host
from .drawing import masks
from .running import law
from .trial import Trial


def homogeneous_means_homogeneous(trial: Trial) -> None:
    """homogeneous: psi(c w) = c psi(w) for c > 0."""
    psi, w, c = trial.ordinary(), trial.wide(), trial.pick(2.0, 0.5, 8.0)
    if not psi.homogeneous:
        return
    value, scaled = trial.values(psi, w), trial.values(psi, trial.backend.array(c * host(w)))
    even = np.abs(scaled - c * np.where(np.isfinite(value), value, 0.0)) <= trial.ulps * np.abs(c * value)
    law(even | (scaled == value), f"psi is {value} at {host(w)} and {scaled} at {c} times it")


def convex_up_to_weak_convexity(trial: Trial) -> None:
    """psi((a + b) / 2) <= (psi(a) + psi(b)) / 2 + rho / 8 ||a - b||^2, rho the weak convexity, 0 for convex psi."""
    psi = trial.ordinary()
    rho = psi.weak_convexity
    law(rho >= 0 and (rho == 0 or not psi.convex), f"the weak convexity is {rho}, convex {psi.convex}")
    if not math.isfinite(rho):
        return
    a = host(trial.wide())
    b = host(trial.wide()) if trial.pick(False, True) else host(trial.common())
    ends = [trial.values(psi, trial.backend.array(z)) for z in (a, b)]
    middle = trial.backend.array((a + b) / 2)
    value, total = trial.values(psi, middle), trial.blocks.total
    finite = np.isfinite(ends[0]) & np.isfinite(ends[1])
    line = (ends[0] + ends[1]) / 2 + rho / 8 * total((a - b) ** 2)
    slack = trial.ulps * (np.abs(ends[0]) + np.abs(ends[1]) + rho * total(a * a + b * b))
    law((value <= line + slack) | ~finite, f"psi is {value} between {a} and {b}, above {line}")


def separable_means_by_entry(trial: Trial) -> None:
    """separable: block_max(a) = a, and prox of an entry does not depend on the others."""
    psi, v, scale = trial.drawn()
    if not psi.separable:
        return
    law(np.broadcast_to(host(psi.block_max(v)), trial.shape) == host(v), f"block_max of {host(v)} is not itself")
    mask, other = trial.draw(masks(trial.shape)), trial.wide()
    mixed = trial.backend.array(np.where(mask, host(v), host(other)))
    p, q = host(psi.prox(v, scale)), host(psi.prox(mixed, scale))
    law((p == q) | ~mask, f"prox of {host(v)} is {p}, of {host(mixed)} {q}")

"""The laws of active manifolds, margins and lambda_max."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from optkit.core import Array, Regularizer

from .array_laws import numpys
from .backends import Host, host, size
from .running import law
from .trial import Trial


def manifolds_are_values(trial: Trial) -> None:
    """The manifold at p holds p, is the same on every back end, equals its copies, and has 0 <= dimension <= size."""
    psi, v, scale = trial.drawn()
    p = psi.prox(v, scale)
    here, there = psi.manifold(p), psi.manifold(numpys(trial.backend).array(host(p)))
    law(here == there and hash(here) == hash(there) and str(here) == str(there), f"{here}, in numpy {there}")
    law(here.contains(p), f"{here} does not contain {host(p)}")
    law(0 <= here.dimension <= here.ambient == math.prod(trial.shape), f"{here.dimension} of {here.ambient}")
    law("\n" not in str(here) and str(here) != "", f"the summary {str(here)!r} is not one line")
    twin = copy.deepcopy(here)
    law(twin == here and hash(twin) == hash(here) and here != str(here), "equality is not that of values")


def distances_are_distances(trial: Trial) -> None:
    """distance is 0 iff the manifolds are equal, symmetric, and at most the size."""
    psi, v, scale = trial.drawn()
    one, two = psi.manifold(psi.prox(v, scale)), psi.manifold(psi.prox(trial.wide(), scale))
    there, back = one.distance(two), two.distance(one)
    law(one.distance(one) == 0 and two.distance(two) == 0, "the distance of a manifold to itself is not 0")
    law(there == back and 0 <= there <= one.ambient, f"the distances are {there} and {back} of {one.ambient}")
    law((there == 0) == (one == two), f"the distance is {there} for {one} and {two}")


def lambda_max_is_the_least_strength(trial: Trial) -> None:
    """At strength lambda_max(g), up to rounding, -g is a subgradient at 0, and prox(-g, 1) = 0; at 0.99 of it not."""
    psi, g = trial.make(1.0), trial.wide()
    if not hasattr(psi, "strength") and psi == trial.make(2.0):  # what is made has no strength to choose
        return
    try:
        least = float(psi.lambda_max(g))
    except TypeError:  # psi has no strength
        return
    law(least >= 0, f"lambda_max is {least}")
    if not math.isfinite(least):
        return
    above, below = (_with_strength(trial, psi, c) for c in (least * (1 + 1e-3) or 1e-3, 0.99 * least))
    law(_stationary_at_0(trial, above, g), f"at strength {least} = lambda_max({host(g)}) 0 is not stationary")
    zero = not psi.convex or np.all(host(above.prox(-g, 1.0)) == 0)
    law(zero, f"at strength {least} = lambda_max({host(g)}) the prox of {host(-g)} is not 0")
    if least > 0:
        law(not _stationary_at_0(trial, below, g), f"below strength {least} = lambda_max({host(g)}) 0 is stationary")


def _with_strength(trial: Trial, psi: Any, strength: float) -> Regularizer:
    """psi with this strength, its own or that of the part inside it."""
    made: Regularizer = replace(psi, strength=strength) if hasattr(psi, "strength") else trial.make(strength)
    return made


def _stationary_at_0(trial: Trial, psi: Regularizer, g: Array) -> bool:
    gap = host(psi.project_subdifferential(0 * g, -g)) + host(g)
    return bool(trial.within(gap, trial.blocks.size(host(g))))


def margin_is_the_distance_to_a_change(trial: Trial) -> None:
    """-(g + d) is a subgradient at w = prox(v, scale), g = (w - v) / scale, for all normal d with ||d|| < margin(w, g).

    For separable psi and for norms of groups it is not for some normal d with ||d|| > margin.
    """
    psi, v, scale = trial.drawn()
    w = psi.prox(v, scale)
    g = host((w - v) / scale)
    try:
        margin = float(psi.margin(w, trial.backend.array(g)))
    except TypeError:  # psi defines none
        return
    numbers = trial.size(v / scale, w / scale)
    law(margin >= -trial.ulps * numbers.max(initial=0.0), f"the margin is {margin} at a stationary point")
    if not (math.isfinite(margin) and margin > 64 * trial.ulps * numbers.max(initial=0.0)):
        return

    def stays(d: Host) -> bool:
        u = trial.backend.array(-(g + d))
        gap = host(psi.project_subdifferential(w, u)) - host(u)
        return bool(trial.within(gap, numbers + trial.blocks.size(d)))

    for d in _normals(trial, psi, w):
        law(stays(0.9 * margin * d), f"-g is no subgradient after {0.9 * margin * d}, within the margin {margin}")
    if psi.separable or _norm_of_groups(psi, v):
        law(not all(stays(1.1 * margin * d) for d in _outward(trial, g)), f"the margin {margin} is too small")


def _normals(trial: Trial, psi: Regularizer, w: Array) -> Iterator[Host]:
    """Unit vectors normal to the active manifold: the differences of subgradients."""
    for u in (trial.wide(), trial.wide()):
        gap = host(psi.project_subdifferential(w, u)) - host(psi.project_subdifferential(w, -u))
        if (norm := size(gap)) > 0 and math.isfinite(norm):
            yield gap / norm


def _outward(trial: Trial, g: Host) -> Iterator[Host]:
    """On each block the unit vector along -g, or any one where g is 0: the ways out of intervals and balls."""
    for block in range(trial.blocks.count):
        part = np.where(trial.blocks.labels == block, -g, 0.0)
        if size(part) == 0:
            part.flat[int(np.argmax(trial.blocks.labels.ravel() == block))] = 1.0
        yield part / size(part)
        yield -part / size(part)


def _norm_of_groups(psi: Regularizer, v: Array) -> bool:
    radial: Any = psi.radial(v, 1.0)
    return radial is not None and np.array_equal(host(radial.b), host(v))

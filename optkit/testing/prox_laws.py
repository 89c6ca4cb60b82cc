"""The laws of the proximal map: it finds the minimiser, and its zeros are exact."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from optkit.core import Array

from .backends import Host, host
from .drawing import floats
from .running import law
from .trial import Drawn, Trial


def prox_is_stationary(trial: Trial) -> None:
    """(v - p) / scale lies in the subdifferential of psi at p = prox(v, scale)."""
    stationary(trial, trial.drawn())


def prox_minimises(trial: Trial) -> None:
    """psi(p) + ||p - v||^2 / (2 scale) is least at p = prox(v, scale); by ||z - p||^2 / (2 scale) if convex."""
    minimal(trial, trial.drawn())


def prox_jumps_where_costs_are_equal(trial: Trial) -> None:
    """separable: for no v on a grid another point of a finer grid costs less than prox(v, scale)."""
    psi, scale = trial.make(trial.pick(0.3, 1.0, 2.0)), trial.pick(0.25, 1.0, 3.0)
    if not psi.separable:
        return
    ones = np.ones(trial.shape)
    grid = np.linspace(-4, 4, 161)
    values = [trial.values(psi, trial.backend.array(t * ones)) for t in grid]
    for v in grid[trial.pick(0, 1, 2, 3) :: 4]:
        p = psi.prox(trial.backend.array(v * ones), scale)
        cost = trial.values(psi, p) + trial.blocks.total((host(p) - v) ** 2) / (2 * scale)
        least = np.min([value + (t - v) ** 2 / (2 * scale) for value, t in zip(values, grid, strict=True)], axis=0)
        room = trial.ulps * (16 / scale + np.abs(least))
        law((cost <= least + room) | ~np.isfinite(cost), f"prox of {v} is {host(p)}, which costs {cost}, not {least}")


def any_metric_means_any_metric(trial: Trial) -> None:
    """any_metric: with any scale > 0 of shape S, p = prox(v, scale) is stationary and minimal."""
    if not trial.make(1.0).any_metric:
        return
    psi, v, scale = trial.drawn()
    drawn = Drawn(psi, v, trial.backend.array(scale * 10 ** (trial.draw(floats(trial.shape)) / 3)))
    stationary(trial, drawn)
    minimal(trial, drawn)


def stationary(trial: Trial, drawn: Drawn) -> None:
    psi, v, scale = drawn
    p = psi.prox(v, scale)
    s = (v - p) / scale
    numbers = trial.size(v / scale, p / scale)
    projected = host(psi.project_subdifferential(p, s))
    law(trial.within(projected - host(s), numbers), f"(v - p) / scale is {host(s)}, nearest to {projected}")


def minimal(trial: Trial, drawn: Drawn) -> None:
    psi, v, scale = drawn
    p, w, weight = psi.prox(v, scale), host(v), np.broadcast_to(1 / (2 * host(scale)), trial.shape)
    least, at = trial.values(psi, p), host(p)
    phi = least + trial.blocks.total(weight * (at - w) ** 2)
    for z in _others(trial, w, at):
        there, total = trial.values(psi, z), trial.blocks.total
        other, point = there + total(weight * (host(z) - w) ** 2), host(z)
        gap = total(weight * (point - at) ** 2) if psi.convex else 0.0
        numbers = (
            np.abs(there) + np.abs(least) + total(weight * (np.abs(w) + np.abs(at) + np.abs(point) + trial.unit) ** 2)
        )
        inside = np.isfinite(other)  # a point outside the domain, or an overflow, is no competitor
        better = np.isfinite(phi) & (phi + gap <= other + trial.ulps * numbers)
        law(better | ~inside, f"blocks at {at} cost {phi}, at {point} {other}, for v = {w}")


def _others(trial: Trial, v: Host, p: Host) -> Iterator[Array]:
    """Points to compare with, anywhere, near p, and on a grid where blocks are small."""
    new, step = trial.backend.array, trial.draw(floats(trial.shape))
    yield trial.wide()
    yield from map(new, (0 * v, v, -p, 0.5 * p, v + step, p + 1e-2 * step, p * (1 + 1e-3 * step)))
    if trial.blocks.largest <= 2:
        yield from map(new, _grid(trial, v))


def _grid(trial: Trial, v: Host) -> Iterator[Host]:
    """All pairs of a few numbers, up to 1.5 times the block's largest, on each block."""
    unit = trial.blocks.spread(np.maximum(trial.blocks.max(np.abs(v)), 0.0))
    labels = trial.blocks.labels.ravel()
    first = np.zeros(labels.shape, dtype=bool)
    first[np.unique(labels, return_index=True)[1]] = True
    numbers = (-1.5, -0.7, -0.2, 0.0, 0.2, 0.7, 1.5)
    for a, b in product(numbers, numbers) if trial.blocks.largest == 2 else zip(numbers, numbers, strict=True):
        yield unit * np.where(first, a, b).reshape(trial.shape)


def prox_agrees_with_the_naive_one(trial: Trial) -> None:
    """prox is the naive one on each block, with the same exact zeros; it may be any of several minimisers."""
    psi, v, scale = trial.drawn()
    if trial.naive is None:
        return
    p, w, slack = host(psi.prox(v, scale)), host(v), 4 * trial.ulps
    further, nearer, naive = (_naive(trial, Drawn(psi, c * w, scale)) for c in (1 + slack, 1 - slack, 1.0))
    bound = trial.ulps * trial.blocks.spread(trial.size(w)) + 2 * np.abs(further - nearer)
    close = np.abs(p - naive) <= bound
    same = close & ((p == 0) | (further != 0)) & ((p != 0) | (nearer == 0))
    if not psi.convex:  # at a tie another minimiser, far away, is as good
        same |= trial.blocks.spread(ties(trial, Drawn(psi, v, scale), p, naive))
    law(same, f"prox of {w} is {p}, the naive one {naive}")


def _naive(trial: Trial, drawn: Drawn) -> Host:
    p, labels = np.empty(trial.shape), trial.blocks.labels
    assert trial.naive is not None
    for block in range(trial.blocks.count):
        p[labels == block] = trial.naive(drawn.psi, drawn.v[labels == block].tolist(), drawn.scale)
    return p


def ties(trial: Trial, drawn: Drawn, p: Host, other: Host) -> Host:
    """On which blocks p and the other point are far from each other and cost the same."""
    psi, v, w = drawn.psi, drawn.v, host(drawn.v)
    one, two = (
        trial.values(psi, trial.backend.array(z)) + trial.blocks.total((z - w) ** 2) / (2 * drawn.scale)
        for z in (p, other)
    )
    size = trial.size(v)
    far = trial.blocks.max(np.abs(p - other)) > 1e-3 * size
    with np.errstate(invalid="ignore"):  # both may overflow
        return far & (np.abs(one - two) <= trial.ulps * (np.abs(one) + np.abs(two) + size * size / drawn.scale))


def prox_is_moreaus(trial: Trial) -> None:
    """convex and homogeneous: prox(v, scale) = v - scale (v / scale projected on the subdifferential at 0)."""
    psi, v, scale = trial.drawn()
    if not (psi.convex and psi.homogeneous):
        return
    dual = host(v - scale * psi.project_subdifferential(0 * v, v / scale))
    p = host(psi.prox(v, scale))
    law(trial.within(p - dual, trial.blocks.size(host(v))), f"prox of {host(v)} is {p}, by Moreau {dual}")


def zeros_are_exact(trial: Trial) -> None:
    """convex: prox(v, scale) is 0 on a block, every bit, iff v / scale lies in the subdifferential at 0 there."""
    psi, v, scale = trial.drawn()
    if not psi.convex:
        return
    p = trial.blocks.max(np.abs(host(psi.prox(v, scale))))
    inside, outside = (_in_subdifferential_at_0(trial, psi, v * c / scale) for c in (1 + 1e-3, 1 - 1e-3))
    law((p == 0) | ~inside, f"blocks of {host(v)} inside the threshold are not zero: {host(psi.prox(v, scale))}")
    law((p != 0) | outside, f"blocks of {host(v)} beyond the threshold are zero: {host(psi.prox(v, scale))}")


def _in_subdifferential_at_0(trial: Trial, psi: object, u: Array) -> Host:
    """On which blocks u is a subgradient of psi at 0."""
    gap = np.abs(host(psi.project_subdifferential(0 * u, u)) - host(u))  # type: ignore[attr-defined]
    return np.asarray(trial.blocks.max(gap) <= trial.ulps * trial.blocks.size(host(u)))


def scale_0_is_the_identity(trial: Trial) -> None:
    """prox(v, 0) = v, every bit."""
    psi, v, _ = trial.drawn()
    law(host(psi.prox(v, 0.0)) == host(v), f"prox({host(v)}, 0) is {host(psi.prox(v, 0.0))}")


def strength_0_is_the_identity(trial: Trial) -> None:
    """strength 0: prox(v, scale) = v, every bit, for v in the domain."""
    _, v, scale = trial.drawn()
    psi = trial.make(0.0)
    if getattr(psi, "strength", None) != 0:
        return
    p = host(psi.prox(v, scale))
    inside = trial.blocks.spread(np.isfinite(trial.values(psi, v)))
    law((p == host(v)) | ~inside, f"prox of {host(v)} is {p}")


def prox_of_0_is_finite(trial: Trial) -> None:
    """prox(0, scale) is finite for every scale >= 0."""
    psi, v, scale = trial.drawn()
    for each in (scale, 0.0):
        law(np.isfinite(host(psi.prox(0 * v, each))), f"prox(0, {each}) is {host(psi.prox(0 * v, each))}")


def nan_stays_nan(trial: Trial) -> None:
    """A block with a NaN does not come out of prox all finite; a ValueError is as good."""
    psi, v, scale = trial.drawn()
    bad, mask = host(v), trial.draw(floats(trial.shape)) > 2
    bad[mask] = np.nan
    try:
        p = host(psi.prox(trial.backend.array(bad), scale))
    except ValueError:
        return
    hidden = (trial.blocks.max(np.isnan(bad) * 1.0) > 0) & (trial.blocks.max(~np.isfinite(p) * 1.0) == 0)
    law(~hidden, f"NaN in {bad} became finite numbers: {p}")


def prox_acts_on_blocks(trial: Trial) -> None:
    """With a scale for each block, prox on a block is that of its scale, whatever the other blocks hold."""
    psi, v, other = trial.ordinary(), trial.wide(), trial.wide()
    mask, inner, outer = trial.mask(), trial.pick(0.5, 0.0, 2.0), trial.pick(2.0, 0.5)
    together = host(psi.prox(v, trial.backend.array(np.where(mask, inner, outer))))
    alone = host(psi.prox(trial.backend.array(np.where(mask, host(v), host(other))), inner))
    numbers = trial.size(v, together)
    error = np.where(mask, together - alone, 0.0)
    law(trial.within(error, numbers), f"prox on blocks is {together}, alone {alone}")

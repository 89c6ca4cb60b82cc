"""The laws of values and blocks."""

from __future__ import annotations

import math

import numpy as np

from .backends import host
from .blocks import touched
from .running import law
from .trial import Trial


def value_is_the_sum(trial: Trial) -> None:
    """value(w) is a 0-d array, the sum of block_values(w), which has the shape of block_max(w)."""
    psi, w = trial.ordinary(), trial.wide()
    value, parts = psi.value(w), psi.block_values(w)
    law(tuple(value.shape) == (), f"value has the shape {tuple(value.shape)}")
    law(tuple(parts.shape) == tuple(psi.block_max(w).shape), f"block_values has the shape {tuple(parts.shape)}")
    law(~np.isnan(host(parts)), f"block_values of {host(w)} is {host(parts)}")
    total = float(np.sum(host(parts)))
    slack = trial.ulps * float(np.sum(np.abs(host(parts)))) if math.isfinite(total) else 0.0
    law(
        host(value) == total or abs(float(value) - total) <= slack or total > np.finfo(trial.backend.dtype).max,
        f"value is {float(value)}, the sum {total}",
    )


def blocks_are_a_partition(trial: Trial) -> None:
    """block_max of a unit vector is 1 on its block and 0 elsewhere, and every entry is in one block."""
    psi = trial.ordinary()
    if math.prod(trial.shape) == 0:
        return
    labels = trial.blocks.labels
    index = tuple(trial.pick(*range(n)) for n in trial.shape)
    law(touched(psi, trial.shape, index) == (labels == labels[index]), f"block_max of the unit vector at {index}")


def block_max_is_the_least_majorant(trial: Trial) -> None:
    """block_max(a) >= a, is constant on blocks, and is attained on each block."""
    psi, a = trial.ordinary(), trial.wide()
    most = np.broadcast_to(host(psi.block_max(a)), trial.shape)
    law(most >= host(a), f"block_max of {host(a)} is {most}")
    law(most == trial.blocks.spread(trial.blocks.max(host(a))), f"block_max of {host(a)} is {most}")
    again = np.broadcast_to(host(psi.block_max(trial.backend.array(most))), trial.shape)
    law(again == most, f"block_max of {most} is {again}")


def value_is_additive_over_blocks(trial: Trial) -> None:
    """block_values on a block depends on the entries of the block alone."""
    psi, w, z, mask = trial.ordinary(), trial.wide(), trial.wide(), trial.mask()
    mixed = trial.backend.array(np.where(mask, host(w), host(z)))
    one, two, inside = trial.values(psi, w), trial.values(psi, mixed), trial.blocks.max(mask * 1.0) > 0
    with np.errstate(invalid="ignore"):
        same = (one == two) | (np.abs(one - two) <= trial.ulps * np.abs(one))
    law(same | ~inside, f"psi is {one} on the blocks of {host(w)} and {two} on those of {host(mixed)}")

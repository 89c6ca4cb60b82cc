"""Where the groups of a strided tensor lie in memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from itertools import groupby
from typing import NamedTuple


class Layout(NamedTuple):
    """Entry (b, r, g, k) lies at offset ((b rows + r) groups + g) run + k and belongs to group (b, g).

    So there are batches * groups groups of rows * run entries each, in this order. Linear weights by input column have
    run 1; convolution weights (out, in, height, width) by input channel rows = out and run = height * width; by output
    channel rows = 1.
    """

    batches: int
    rows: int
    groups: int
    run: int


def dense(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether the tensor fills one stretch of memory without gaps, in some order of its axes."""
    if 0 in shape:
        return True
    expected = 1
    for stride, size in sorted((stride, size) for stride, size in zip(strides, shape, strict=True) if size != 1):
        if stride != expected:
            return False
        expected *= size
    return True


@cache
def layout(shape: tuple[int, ...], strides: tuple[int, ...], axes: tuple[int, ...]) -> Layout | None:
    """The layout of groups over these axes in a dense tensor, or None where it takes more than four loops."""
    order = sorted((axis for axis, size in enumerate(shape) if size != 1), key=lambda axis: -strides[axis])
    pieces = groupby(order, key=lambda axis: axis in axes)
    loops = [(inside, math.prod(shape[axis] for axis in piece)) for inside, piece in pieces]
    sizes = [1, 1, 1, 1]  # outside, inside, outside, inside
    place = 0
    for inside, size in loops:
        place += place % 2 != inside
        if place > 3:
            return None
        sizes[place] = size
        place += 1
    batches, rows, groups, run = sizes
    if groups == 1 and run == 1:  # whole stretches: one row of them
        return Layout(1, 1, batches, rows)
    return Layout(batches, rows, groups, run)

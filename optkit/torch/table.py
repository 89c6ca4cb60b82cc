"""What every parameter of a model gets, as a table to read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import is_dataclass

import torch

from optkit.core import Regularizer
from optkit.regularizers import OnView, Scaled

from .assignment import Assigned

HEADER = ("parameter", "shape", "groups", "group size", "regularizer", "rule")
_RIGHT = ("groups", "group size")


def table(assigned: Sequence[Assigned]) -> str:
    """One row a parameter, in aligned columns, and a line of totals.

    groups: the blocks of the regularizer, with so many entries each;  rule: as it was written, "free" where there is
    none and "frozen" for a parameter that is left out.
    """
    rows = [HEADER, *map(_row, assigned)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADER))]
    lines = [
        "  ".join(
            cell.rjust(width) if title in _RIGHT else cell.ljust(width)
            for title, cell, width in zip(HEADER, row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]
    return "\n".join([*lines, _totals(assigned)])


def block_sizes(psi: Regularizer, shape: tuple[int, ...]) -> list[int]:
    """The number of entries of each block of psi on arrays of this shape: where `block_max` of 0, 1, 2, ... agrees."""
    numbers = torch.arange(math.prod(shape), dtype=torch.float64, device="cpu").reshape(shape)
    labels = torch.broadcast_to(psi.block_max(numbers), shape).to(torch.int64)
    counts = torch.bincount(labels.flatten())
    sizes: list[int] = counts[counts > 0].tolist()
    return sizes


def _row(one: Assigned) -> tuple[str, ...]:
    others = [place.name for place in one.listed.places[1:]]
    names = " = ".join((one.listed.name, *others)) if len(others) < 2 else f"{one.listed.name} = {len(others)} others"
    rule = one.rule.label if one.rule else "free" if one.listed.parameter.requires_grad else "frozen"
    if one.psi is None:
        return (names, str(one.listed.shape), "-", "-", "-", rule)
    sizes = block_sizes(one.psi, one.listed.shape)
    least, most = min(sizes, default=0), max(sizes, default=0)
    size = str(least) if least == most else f"{least} to {most}"
    return (names, str(one.listed.shape), str(len(sizes)), size, _name(one.psi), rule)


def _name(psi: Regularizer) -> str:
    """The name and the strength."""
    name = type(psi).__name__
    if isinstance(psi, Scaled) and isinstance(psi.factor, float):
        return f"{psi.factor:g} * {_name(psi.psi)}"
    if isinstance(psi, (Scaled, OnView)):
        return f"{name}({_name(psi.psi)})"
    strength = getattr(psi, "strength", None)
    if isinstance(strength, (int, float)):
        return f"{name}({strength:g})"
    return str(psi) if is_dataclass(psi) else name


def _totals(assigned: Sequence[Assigned]) -> str:
    def entries(some: Sequence[Assigned]) -> int:
        return sum(math.prod(one.listed.shape) for one in some)

    trained = [one for one in assigned if one.listed.parameter.requires_grad]
    frozen = entries(assigned) - entries(trained)
    regularized = entries([one for one in trained if one.psi is not None])
    left_out = f"; {frozen} more are frozen" if frozen else ""
    return f"regularized {regularized} of {entries(trained)} entries of the parameters{left_out}"

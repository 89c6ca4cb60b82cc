"""What the iterative solvers share: step sizes, safe screening of the blocks that are zero in the solution, flags,
and iterations on several arrays in step."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import NamedTuple, TypeAlias

from array_api_compat import array_namespace, is_cupy_array, is_torch_array

from optkit.core import Array, Regularizer, Solution, Subproblem


class Request(NamedTuple):
    """psi.prox(v, scale) is wanted."""

    psi: Regularizer
    v: Array
    scale: Array | float


Walk: TypeAlias = Generator[Request, Array, Solution]
"""The iterations on one array: it asks for one proximal map after the other, and returns the solution."""


def in_step(walks: Sequence[Walk]) -> list[Solution]:
    """The solutions of all walks, each on its own; what they ask for at the same time is computed together."""
    solutions: dict[int, Solution] = {}
    answers: dict[int, Array] = dict.fromkeys(range(len(walks)))
    while answers:
        requests: dict[int, Request] = {}
        for i, answer in answers.items():
            try:
                requests[i] = walks[i].send(answer)
            except StopIteration as end:
                solutions[i] = end.value
        asked = list(requests.values())
        together = asked[0].psi.prox_all(*zip(*asked, strict=True)) if asked else []
        answers = dict(zip(requests, together, strict=True))
    return [solutions[i] for i in range(len(walks))]


def iterative(psi: Regularizer) -> str:
    """The name of the iterative solver that takes psi in every problem."""
    return "AcceleratedProximalGradient" if psi.convex else "ProximalGradient"


def step_sizes(problem: Subproblem, psi: Regularizer) -> Array:
    """1 / (the largest entry of the metric on each block), a valid scale for psi's prox: one step size a block is
    enough because Q separates over blocks."""
    xp = array_namespace(problem.anchor)
    largest = psi.block_max(xp.ones_like(problem.anchor) * problem.metric)
    return 1.0 / xp.where(largest > 0, largest, xp.ones_like(largest))  # blocks without entries have 0


def zero_blocks(problem: Subproblem, psi: Regularizer, step: Array) -> Array | None:
    """Booleans, constant on blocks: where the solution is zero, exactly; None for psi that is not convex, and where it
    is known that there are no such blocks.

    0 is the solution on a block iff it is stationary there, and it is iff a proximal gradient step from 0 stays.
    """
    if not psi.convex:
        return None
    xp = array_namespace(problem.anchor)
    zero = psi.vanishes(-step * problem.gradient(xp.zeros_like(problem.anchor)), step * problem.weight)
    return None if known(~xp.any(zero)) else zero


def known(flag: Array) -> bool:
    """Whether the flag is true and known: False too where to ask would be to wait for a device."""
    if is_cupy_array(flag) or (is_torch_array(flag) and flag.device.type != "cpu"):
        return False
    return bool(flag)


def clear(w: Array, blocks: Array | None) -> Array:
    """w with zeros on these blocks."""
    xp = array_namespace(w)
    return w if blocks is None else xp.where(blocks, xp.zeros_like(w), w)

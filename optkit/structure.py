"""Measures of structure."""

from __future__ import annotations

from collections.abc import Iterable

from optkit.core import Manifold


def weighted_sparsity(manifolds: Iterable[Manifold]) -> float:
    """1 - (entries in nonzero groups) / (entries in all groups), in [0, 1], over the manifolds of several arrays.

    Each group counts by its number of entries. For other structures it is the share of dimensions that are gone.
    Raises ValueError when there is nothing to measure.

    Reference: RAMDA paper (NeurIPS 2024), section 6, "weighted group sparsity".
    """
    manifolds = list(manifolds)
    ambient = sum(manifold.ambient for manifold in manifolds)
    if ambient == 0:
        raise ValueError("weighted_sparsity needs at least one nonempty regularized array")
    return 1 - sum(manifold.dimension for manifold in manifolds) / ambient

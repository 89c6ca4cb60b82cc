"""Measures of structure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from optkit.core import Manifold
from optkit.regularizers import FixedRank, Viewed


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


@dataclass(frozen=True)
class Structure(Mapping[str, Manifold]):
    """The active manifolds of several arrays by name; `str` makes a table of them.

    Reference: RAMDA paper (NeurIPS 2024), section 6 and appendix E.
    """

    manifolds: Mapping[str, Manifold]

    @property
    def sparsity(self) -> float | None:
        """The weighted group sparsity of all arrays but the low-rank ones, in [0, 1]; None without entries."""
        others = [manifold for manifold in self._inner() if not isinstance(manifold, FixedRank)]
        return weighted_sparsity(others) if any(manifold.ambient for manifold in others) else None

    @property
    def rank_level(self) -> float | None:
        """1 - (sum of ranks) / (sum of the largest possible ranks) of the low-rank matrices, in [0, 1], or None."""
        matrices = [manifold for manifold in self._inner() if isinstance(manifold, FixedRank)]
        full = sum(min(manifold.shape) for manifold in matrices)
        return 1 - sum(manifold.rank for manifold in matrices) / full if full else None

    def _inner(self) -> Iterator[Manifold]:
        """The manifolds, those of views where they are regularized."""
        for manifold in self.manifolds.values():
            while isinstance(manifold, Viewed):
                manifold = manifold.inner
            yield manifold

    def __getitem__(self, name: str) -> Manifold:
        return self.manifolds[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.manifolds)

    def __len__(self) -> int:
        return len(self.manifolds)

    def __str__(self) -> str:
        width = max(map(len, self.manifolds), default=0)
        lines = [f"{name.ljust(width)}  {manifold}" for name, manifold in self.manifolds.items()]
        totals = {"weighted group sparsity": self.sparsity, "low-rank level": self.rank_level}
        return "\n".join([*lines, *(f"{what}: {100 * x:.1f} %" for what, x in totals.items() if x is not None)])

"""Measures of structure: the paper's weighted group sparsity, and manifolds of supports."""

from __future__ import annotations

import numpy as np
import pytest

from optkit.regularizers import L1, GroupLasso, NuclearNorm, OnView, Support, Zero
from optkit.structure import Structure, weighted_sparsity


def test_each_group_counts_by_its_size() -> None:
    psi = GroupLasso(1.0, axes=0)
    wide, tall = np.ones((1, 4)), np.ones((10, 2))
    wide[:, :3], tall[:, 0] = 0, 0  # 3 entries in 3 groups, 10 entries in 1 group
    assert weighted_sparsity([psi.manifold(wide), psi.manifold(tall)]) == pytest.approx(13 / 24)


@pytest.mark.parametrize(("w", "sparsity"), [(np.zeros((3, 2)), 1.0), (np.ones((3, 2)), 0.0)])
def test_ends_of_the_range(w: np.ndarray, sparsity: float) -> None:
    assert weighted_sparsity([GroupLasso(1.0, axes=0).manifold(w)]) == sparsity


def test_nothing_to_measure_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one nonempty"):
        weighted_sparsity([])


def test_distance_counts_the_entries_of_groups_that_differ() -> None:
    psi, a, b = GroupLasso(1.0, axes=0), np.ones((5, 3)), np.ones((5, 3))
    a[:, 0], b[:, 2] = 0, 0
    assert psi.manifold(a).distance(psi.manifold(b)) == 10
    assert psi.manifold(a).distance(psi.manifold(2 * a)) == 0


def test_distance_refuses_other_spaces() -> None:
    with pytest.raises(ValueError, match=r"different shapes: \(2, 3\), \(3, 2\)"):
        L1(1.0).manifold(np.ones((2, 3))).distance(L1(1.0).manifold(np.ones((3, 2))))
    with pytest.raises(ValueError, match="blocks of different shapes"):
        L1(1.0).manifold(np.ones((2, 2))).distance(GroupLasso(1.0, axes=0).manifold(np.ones((2, 2))))


def test_contains_looks_at_the_zero_blocks_only() -> None:
    manifold = GroupLasso(1.0, axes=1).manifold(np.array([[1.0, 0.0], [0.0, 0.0]]))
    assert (manifold.dimension, manifold.ambient, str(manifold)) == (2, 4, "1 of 2 groups zero")
    assert manifold.contains(np.array([[0.0, 5.0], [0.0, 0.0]]))
    assert not manifold.contains(np.array([[1.0, 1.0], [0.0, 1e-9]]))
    assert manifold.contains(np.array([[1.0, 1.0], [0.0, 1e-9]]), tol=1e-8)
    assert not manifold.contains(np.array([[np.nan, 1.0], [0.0, 0.0]]))


def test_zero_has_the_whole_space() -> None:
    manifold = Zero().manifold(np.zeros((2, 3)))
    assert isinstance(manifold, Support) and manifold.dimension == 6


def test_a_structure_adds_up_what_is_sparse_and_what_is_low_rank() -> None:
    """By hand: 2 of 4 columns with 3 entries are zero and 1 of 2 entries, 7 of 14; ranks 1 of 2 and 1 of 4, 2 of 6."""
    columns = np.ones((3, 4))
    columns[:, 1:3] = 0.0
    convolution = np.ones((4, 3, 2, 2))
    structure = Structure(
        {
            "columns": GroupLasso(1.0, axes=0).manifold(columns),
            "entries": L1(1.0).manifold(np.array([0.0, 2.0])),
            "matrix": NuclearNorm(1.0).manifold(np.ones((2, 5))),
            "convolution": OnView(NuclearNorm(1.0), shape=(0, -1)).manifold(convolution),
        }
    )
    assert structure.sparsity == pytest.approx(7 / 14)
    assert structure.rank_level == pytest.approx(1 - 2 / 6)
    assert list(structure) == ["columns", "entries", "matrix", "convolution"] and len(structure) == 4
    assert str(structure).splitlines() == [
        "columns      2 of 4 groups zero",
        "entries      1 of 2 entries zero",
        "matrix       rank 1 of 2",
        f"convolution  {structure['convolution']}",
        "weighted group sparsity: 50.0 %",
        "low-rank level: 66.7 %",
    ]


def test_what_is_not_there_has_no_measure() -> None:
    empty, low_rank = Structure({}), Structure({"matrix": NuclearNorm(1.0).manifold(np.ones((2, 5)))})
    assert (empty.sparsity, empty.rank_level, str(empty)) == (None, None, "")
    assert (low_rank.sparsity, low_rank.rank_level) == (None, 0.5)

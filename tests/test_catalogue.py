"""What is particular to single regularizers: values by hand, summaries, margins, and what they refuse."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch

from optkit.core import Manifold, Regularizer, Subproblem
from optkit.registry import from_data, to_data
from optkit.regularizers import (
    L0,
    L1,
    MCP,
    SCAD,
    Binary,
    BinarySet,
    Box,
    Cardinality,
    ElasticNet,
    FixedRank,
    GroupCardinality,
    GroupLasso,
    Levels,
    LevelSet,
    LogSum,
    Lq,
    NMSparsity,
    NonNegative,
    NuclearNorm,
    OnView,
    RankConstraint,
    Scaled,
    SeparableSum,
    SparseGroupLasso,
    SquaredL2,
    Zero,
)
from optkit.solvers import Automatic, ClosedForm

MATRIX = np.random.default_rng(0).standard_normal((4, 6))

# --- summaries --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("psi", "w", "summary"),
    [
        (L1(1.0), [0.0, 1.0, 0.0], "2 of 3 entries zero"),
        (GroupLasso(1.0, axes=0), [[0.0, 1.0], [0.0, 0.0]], "1 of 2 groups zero"),
        (SparseGroupLasso(1.0, axes=0), [[0.0, 1.0], [0.0, 0.0]], "3 of 4 entries zero"),
        (NuclearNorm(1.0), [[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]], "rank 1 of 2"),
        (RankConstraint(1), [[1.0, 2.0], [2.0, 4.0]], "rank 1 of 2"),
        (Binary(1.0), [1.0, -1.0, 0.5], "2 of 3 entries at ±1"),
        (BinarySet(0.25), [0.25, -0.25], "2 of 2 entries at ±0.25"),
        (Levels(1.0, (0, 1, 2)), [2.0, 0.5, 0.0], "2 of 3 entries at a level"),
        (Box(-1, 1), [-1.0, 0.0, 1.0], "2 of 3 entries at a bound"),
        (NonNegative(), [0.0, 3.0], "1 of 2 entries zero"),
        (Cardinality(1), [0.0, 3.0], "1 of 2 entries zero"),
        (NMSparsity(1, 2), [0.0, 3.0, 0.0, 0.0], "3 of 4 entries zero"),
        (SquaredL2(1.0), [0.0, 3.0], "0 of 2 entries zero"),
        (Scaled(L1(1.0), [0.0, 1.0]), [0.0, 0.0], "1 of 2 entries zero"),
        (OnView(NuclearNorm(1.0), shape=(0, -1)), np.ones((2, 2, 2)), "rank 1 of 2"),
    ],
    ids=repr,
)
def test_a_manifold_says_in_a_line_what_is_structured(psi: Regularizer, w: Any, summary: str) -> None:
    assert str(psi.manifold(np.asarray(w))) == summary


@pytest.mark.parametrize(
    ("psi", "w", "dimension"),
    [
        (NuclearNorm(1.0), MATRIX, 24),
        (NuclearNorm(1.0), MATRIX[:, :1] @ MATRIX[:1], 1 * (4 + 6 - 1)),
        (NuclearNorm(1.0), 0 * MATRIX, 0),
        (SparseGroupLasso(1.0, axes=0), np.array([[0.0, 1.0], [0.0, 0.0]]), 1),
        (Binary(1.0), np.array([1.0, 0.5, -1.0, 0.2]), 2),
        (Levels(1.0, (0, 2)), np.array([0.0, 0.0, 2.0]), 0),
        (Scaled(GroupLasso(1.0, axes=0), np.array([[0.0, 1.0]])), np.zeros((3, 2)), 3),
    ],
    ids=repr,
)
def test_the_dimension_of_a_manifold(psi: Regularizer, w: np.ndarray, dimension: int) -> None:
    manifold = psi.manifold(w)
    assert (manifold.dimension, manifold.ambient) == (dimension, w.size)


def test_manifolds_of_levels_tell_the_levels_apart() -> None:
    low, high = (Binary(1.0).manifold(np.array([sign, 0.5])) for sign in (-1.0, 1.0))
    assert low != high and low.distance(high) == 1 and str(low) == str(high)
    assert low.contains(np.array([-1.0, 7.0])) and not low.contains(np.array([1.0, 7.0]))
    assert low.contains(np.array([-1.1, 7.0]), tol=0.2)


def test_ranks_are_compared_by_dimension() -> None:
    one, two = (NuclearNorm(1.0).manifold(MATRIX[:, :rank] @ MATRIX[:rank]) for rank in (1, 2))
    assert one != two and one.distance(two) == two.distance(one) == 2 * 8 - 9
    assert two.contains(MATRIX[:, :1] @ MATRIX[:1]) and not one.contains(MATRIX[:, :2] @ MATRIX[:2])
    assert one.contains(MATRIX[:, :1] @ MATRIX[:1] + 1e-9 * MATRIX, tol=1e-8)
    assert not one.contains(math.nan * MATRIX)


@pytest.mark.parametrize(
    ("one", "other", "kind", "words"),
    [
        (FixedRank(1, (2, 3)), FixedRank(1, (3, 2)), ValueError, "different shapes"),
        (FixedRank(1, (2, 3)), L1(1.0).manifold(np.zeros((2, 3))), TypeError, "FixedRank is compared with a FixedRank"),
        (L1(1.0).manifold(np.zeros((2, 3))), FixedRank(1, (2, 3)), TypeError, "Support is compared with another"),
        (
            Binary(1.0).manifold(np.zeros(2)),
            Binary(1.0, 2.0).manifold(np.zeros(2)),
            ValueError,
            "different levels",
        ),
    ],
)
def test_manifolds_of_different_spaces_have_no_distance(one: Manifold, other: Manifold, kind: Any, words: str) -> None:
    assert one != other
    with pytest.raises(kind, match=words):
        one.distance(other)


# --- margins and the least strengths ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("psi", "w", "gradient", "margin"),
    [
        (L1(2.0), [0.0, 1.0, 0.0], [0.5, -2.0, -1.5], 0.5),
        (L1(2.0), [0.0], [3.0], -1.0),
        (L1(2.0), [1.0, 2.0], [-2.0, -2.0], math.inf),
        (ElasticNet(2.0, 0.25), [0.0], [0.1], 0.4),
        (GroupLasso(1.0, axes=0), [[0.0, 1.0], [0.0, 0.0]], [[0.3, 0.0], [0.4, 0.0]], math.sqrt(2) - 0.5),
        (NuclearNorm(1.0), [[3.0, 0.0], [0.0, 0.0]], [[-1.0, 0.0], [0.0, 0.25]], 0.75),
        (NuclearNorm(1.0), [[3.0, 0.0], [0.0, 1.0]], [[-1.0, 0.0], [0.0, -1.0]], math.inf),
        (Binary(1.0), [1.0, 0.5], [0.25, 1.0], 0.75),
        (Binary(1.0), [0.0], [1.0], 0.0),
        (BinarySet(), [1.0], [5.0], math.inf),
        (Box(0, 1), [0.0, 1.0, 0.5], [0.7, -0.2, 0.0], 0.2),
        (L0(1.0), [0.0, 1.0], [5.0, 0.0], math.inf),
        (Cardinality(1), [0.0, 1.0], [5.0, 0.0], math.inf),
        (Cardinality(2), [0.0, 1.0], [0.0, 0.0], 0.0),
        (RankConstraint(1), [[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 9.0]], math.inf),
        (RankConstraint(2), [[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]], 0.0),
        (Scaled(L1(1.0), [2.0, 0.0]), [0.0, 0.0], [0.5, 0.0], 1.5),
        # a group of zeros: the part outside the box has norm 1, the ball radius 3 sqrt(2)
        (SparseGroupLasso(6.0, axes=0), [[0.0], [0.0]], [[4.0], [-2.0]], 3 * math.sqrt(2) - 1),
        # inside the box too: the distance to its nearest side comes on top
        (SparseGroupLasso(6.0, axes=0), [[0.0], [0.0]], [[2.0], [-2.5]], 3 * math.sqrt(2) + 0.5),
        (SparseGroupLasso(6.0, axes=0), [[1.0], [0.0]], [[-9.0], [1.0]], 2.0),
    ],
    ids=repr,
)
def test_the_margin_by_hand(psi: Regularizer, w: Any, gradient: Any, margin: float) -> None:
    found = psi.margin(np.asarray(w), np.asarray(gradient))
    assert found.shape == () and float(found) == pytest.approx(margin, rel=1e-14, abs=1e-14)


GRADIENT = np.array([[3.0, -1.0], [-4.0, 0.5]])


@pytest.mark.parametrize(
    ("psi", "least"),
    [
        (L1(0.1), 4.0),
        (L1(0.0), 4.0),
        (ElasticNet(0.1, 0.25), 16.0),
        (GroupLasso(0.1, axes=0), 5 / math.sqrt(2)),
        (GroupLasso(0.1, axes=0, scale_by_size=False), 5.0),
        (NuclearNorm(0.1), np.linalg.norm(GRADIENT, 2)),
        (L0(0.1), 0.0),
        (Lq(0.1), 0.0),
        (MCP(0.1), 4.0),
        (Levels(0.1, (-1, 0, 3)), 4.0),
        (SquaredL2(0.1), math.inf),
        (Scaled(L1(0.1), 2.0), 2.0),
        (Scaled(L1(0.1), [[6.0, 1.0], [1.0, 1.0]]), 4.0),
        (Scaled(L1(0.1), [[6.0, 1.0], [0.0, 1.0]]), math.inf),
        (OnView(GroupLasso(0.1, axes=1), axes=(1, 0)), 5 / math.sqrt(2)),
    ],
    ids=repr,
)
def test_lambda_max_by_hand(psi: Regularizer, least: float) -> None:
    assert float(psi.lambda_max(GRADIENT)) == pytest.approx(least, rel=1e-15)


def test_lambda_max_of_the_sparse_group_lasso_is_the_root_found_by_bisection() -> None:
    rng = np.random.default_rng(0)
    for ratio in (0.01, 0.3, 0.9, 0.99):
        g = rng.standard_normal((40, 1)) * 10 ** rng.uniform(-3, 3, (40, 1))
        low, high = 0.0, 1e6
        while high - low > 1e-13 * high:
            middle = (low + high) / 2
            soft = np.maximum(np.abs(g) - ratio * middle, 0)
            low, high = (middle, high) if np.linalg.norm(soft) > (1 - ratio) * math.sqrt(40) * middle else (low, middle)
        assert float(SparseGroupLasso(1.0, axes=0, l1_ratio=ratio).lambda_max(g)) == pytest.approx(high, rel=1e-12)


@pytest.mark.parametrize(
    "psi",
    [Zero(), Box(0, 1), BinarySet(), LevelSet((0, 1)), RankConstraint(1), Cardinality(1), NMSparsity(1, 2)],
    ids=repr,
)
def test_without_a_strength_there_is_no_lambda_max(psi: Regularizer) -> None:
    with pytest.raises(TypeError, match=f"{type(psi).__name__} has no strength"):
        psi.lambda_max(GRADIENT)


def test_there_is_no_lambda_max_where_0_is_no_level() -> None:
    with pytest.raises(TypeError, match=r"Binary has no lambda_max: 0 is not one of its levels \(-1.0, 1.0\)"):
        Binary(1.0).lambda_max(GRADIENT)


# --- singular values --------------------------------------------------------------------------------------------------


def fails(*arguments: Any, **options: Any) -> Any:
    raise np.linalg.LinAlgError("SVD did not converge")


@pytest.mark.parametrize("array", [np.asarray, torch.asarray], ids=["numpy", "torch"])
def test_where_the_first_driver_fails_the_second_one_finds_the_same(
    array: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    psi, v = RankConstraint(2), array(MATRIX)
    before = psi.prox(v, 1.0)
    monkeypatch.setattr(np.linalg, "svd", fails)
    monkeypatch.setattr(torch.linalg, "svd", fails)
    after = psi.prox(v, 1.0)
    assert type(after) is type(before) and after.dtype == before.dtype
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-13)


def test_nan_from_the_first_driver_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    before, found = RankConstraint(2).prox(MATRIX, 1.0), np.linalg.svd(MATRIX, full_matrices=False)
    monkeypatch.setattr(np.linalg, "svd", lambda *a, **b: [math.nan * part for part in found])
    np.testing.assert_allclose(RankConstraint(2).prox(MATRIX, 1.0), before, rtol=0, atol=1e-13)


def test_where_both_drivers_fail_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np.linalg, "svd", fails)
    monkeypatch.setattr(scipy.linalg, "svd", fails)
    with pytest.raises(
        ValueError, match=r"neither gesdd nor gesvd .* shape \(4, 6\) \(SVD did not converge\); rescale"
    ):
        RankConstraint(2).prox(MATRIX, 1.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("array", [np.asarray, torch.asarray], ids=["numpy", "torch"])
def test_a_matrix_that_is_not_finite_is_refused(array: Callable[..., Any], bad: float) -> None:
    v = MATRIX.copy()
    v[1, 2] = bad
    for psi in (NuclearNorm(1.0), RankConstraint(1)):
        with pytest.raises(ValueError, match=r"shape \(4, 6\) holds NaN or infinity and has no singular values"):
            psi.prox(array(v), 1.0)


@pytest.mark.parametrize("psi", [NuclearNorm(1.0), RankConstraint(1)], ids=repr)
def test_an_array_that_is_no_matrix_is_refused_with_the_view_that_makes_one(psi: Regularizer) -> None:
    w, words = np.ones((2, 3, 2)), rf"{type(psi).__name__} needs a matrix, got shape \(2, 3, 2\); .* shape=\(0, -1\)\)"
    for refuse in (lambda: psi.check((2, 3, 2)), lambda: psi.prox(w, 1.0), lambda: psi.value(w)):
        with pytest.raises(ValueError, match=words):
            refuse()
    OnView(psi, shape=(0, -1)).check((2, 3, 2))


# --- views, multiples, sums -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "axes", "of", "expected"),
    [
        ((0, -1), None, (4, 3, 2, 2), (4, 12)),
        ((0, -1), (1, 0, 2, 3), (4, 3, 2, 2), (3, 16)),
        ((2, -1, 3), None, (4, 3), (2, 2, 3)),
        (None, (1, 0), (4, 3), (3, 4)),
        ((-1,), None, (4, 3), (12,)),
        ((0, -1), None, (4, 0), (4, 0)),
    ],
)
def test_the_shape_of_a_view(shape: Any, axes: Any, of: tuple[int, ...], expected: tuple[int, ...]) -> None:
    psi, w = OnView(L1(1.0), shape, axes), np.arange(math.prod(of), dtype=float).reshape(of)
    assert psi.view(w).shape == expected
    np.testing.assert_array_equal(psi.unview(psi.view(w), of), w)


def test_a_view_transposes_before_it_reshapes() -> None:
    w = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(OnView(L1(1.0), (0, -1), (1, 0, 2)).view(w), w.transpose(1, 0, 2).reshape(3, 8))


def test_views_of_attention_heads_zero_whole_heads() -> None:
    w = np.ones((6, 5))
    w[2:4] *= 0.01  # the second of three heads
    psi = OnView(GroupLasso(0.1, axes=(1, 2)), shape=(3, -1, 5))
    p = psi.prox(w, 1.0)
    assert str(psi.manifold(p)) == "1 of 3 groups zero" and np.all(p[2:4] == 0) and np.all(p[:2] > 0)


@pytest.mark.parametrize(
    ("make", "of", "words"),
    [
        (lambda: OnView(L1(1.0), shape=(-1, -1)), None, r"shape must have at most one -1, got \(-1, -1\)"),
        (lambda: OnView(L1(1.0), axes=(0, 2)), None, r"axes must be a permutation of 0, 1, ..., got \(0, 2\)"),
        (lambda: OnView(L1(1.0), shape=(5, -1)), (4, 3), r"shape \(4, 3\) can not be viewed in the shape \(5, -1\)"),
        (lambda: OnView(L1(1.0), axes=(1, 0)), (4,), r"axes \(1, 0\) do not permute those of an array of shape \(4,\)"),
        (lambda: OnView(GroupLasso(1.0, axes=2), (0, -1)), (4, 3, 2), r"axes \(2,\) do not exist"),
        (lambda: Scaled(L1(1.0), [1.0, -1.0]), None, "factor must hold finite numbers >= 0"),
        (lambda: Scaled(L1(1.0), np.array([1.0, math.nan])), None, "factor must hold finite numbers >= 0"),
        (lambda: Scaled(L1(1.0), np.ones(3)), (4,), r"factor of shape \(3,\) does not broadcast to \(4,\)"),
        (
            lambda: Scaled(GroupLasso(1.0, axes=0), np.arange(3.0)[:, None]),
            (3, 2),
            "constant on the blocks of GroupLasso",
        ),
        (lambda: Box(1, 1), None, "lower must be below upper, got 1.0 and 1.0"),
        (lambda: NMSparsity(3, 2), None, "n must be at most m, got n=3 of m=2"),
        (lambda: NMSparsity(2, 4), (3, 6), r"shape \(3, 6\) must exist and have a length that is a multiple of m=4"),
        (lambda: NMSparsity(2, 4, axis=2), (4, 4), "must exist"),
        (lambda: GroupCardinality(2), (3, 6), "GroupCardinality has axes=None"),
        (lambda: Levels(1.0, (1, 1)), None, "at least two different numbers"),
        (lambda: LevelSet((1,)), None, "at least two different numbers"),
        (lambda: SparseGroupLasso(1.0, l1_ratio=1), None, r"l1_ratio must be a number in \(0, 1\), got 1; use L1"),
        (lambda: Lq(1.0, 1), None, r"q must be a number in \(0, 1\), got 1; use L1"),
        (lambda: SeparableSum({"w": L1(1.0)}).check({"w": (2,), "b": (1,)}), None, r"missing \[\], unknown \['b'\]"),
        (lambda: SeparableSum({"w": NuclearNorm(1.0)}).check({"w": (2,)}), None, "w: NuclearNorm needs a matrix"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(make: Callable[[], Any], of: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make().check(of)


def wrong(value: Any) -> Any:
    """A value of the wrong type, which type checkers let pass."""
    return value


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: OnView(wrong("L1")), "psi must be a Regularizer, got 'L1'"),
        (lambda: OnView(L1(1.0), shape=wrong((1.5,))), "shape must be an integer"),
        (lambda: Scaled(wrong(L1), 2.0), "psi must be a Regularizer, got the class L1"),
        (lambda: Scaled(L1(1.0), np.array([1, 2])), "factor must be an array of real floating-point numbers"),
        (lambda: SeparableSum({}), "parts must map at least one name to a Regularizer"),
        (lambda: SeparableSum(wrong({"w": 1.0})), r"parts\['w'\] must be a Regularizer, got 1.0"),
        (lambda: Box(wrong("0"), 1), "lower must be a number or infinite, got '0'"),
        (lambda: Box(0, math.nan), "upper must be a number or infinite, got nan"),
        (lambda: NMSparsity(1, 2, axis=wrong((0, 1))), "axis must be an integer"),
        (lambda: Levels(1.0, wrong(3)), "levels must be a sequence of numbers, got 3"),
        (lambda: Levels(1.0, wrong(("0", 1))), "levels must be finite numbers, got '0'"),
    ],
)
def test_what_is_of_the_wrong_type_is_refused_in_words(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        make()


def test_factors_make_an_adaptive_penalty() -> None:
    """Scaled by 1 / |v|^2 entries that are large are hardly shrunk, and factor 0 leaves them alone."""
    v = np.array([3.0, 1.0, 0.5, 0.0])
    p = Scaled(L1(0.2), np.array([1 / 9, 1.0, 4.0, 0.0])).prox(v, 1.0)
    np.testing.assert_allclose(p, [3 - 0.2 / 9, 0.8, 0.0, 0.0], rtol=1e-15)


def test_factors_take_the_dtype_and_library_of_the_array() -> None:
    psi = Scaled(GroupLasso(0.2, axes=0), np.array([[1.0, 0.0, 2.0]]))
    v = torch.ones(4, 3, dtype=torch.float32)
    assert psi.prox(v, 0.5).dtype == torch.float32 and psi.value(v).dtype == torch.float32
    np.testing.assert_array_equal(psi.prox(v, 0.5)[:, 1], v[:, 1])


def test_multiples_are_equal_by_their_factors() -> None:
    one, same, other = (Scaled(L1(1.0), factor) for factor in ([1.0, 2.0], np.array([1.0, 2.0]), [1.0, 3.0]))
    assert one == same != other and hash(one) == hash(same) and one != L1(1.0)
    assert Scaled(L1(1.0), 2) == Scaled(L1(1.0), 2.0) != Scaled(L1(2.0), 2.0)


def test_facts_are_passed_on() -> None:
    assert Scaled(MCP(1.0, gamma=4.0), [0.5, 2.0]).weak_convexity == 0.5
    assert OnView(MCP(1.0, gamma=4.0), (-1,)).weak_convexity == 0.25
    assert Scaled(MCP(1.0), 0.0).weak_convexity == 0 and Scaled(L0(1.0), 1.0).weak_convexity == math.inf
    for psi in (Scaled(L1(1.0), 2.0), OnView(L1(1.0), (-1,)), SeparableSum({"w": L1(1.0), "b": NonNegative()})):
        assert psi.convex and psi.separable and psi.homogeneous
    for psi in (Scaled(Cardinality(2), 2.0), OnView(Cardinality(2), (-1,))):
        assert not psi.convex and not psi.separable and psi.any_metric
    mixed = SeparableSum({"w": MCP(1.0, gamma=2.0), "b": Zero()})
    assert not mixed.convex and not mixed.homogeneous and mixed.weak_convexity == 0.5


def test_a_sum_over_names_goes_name_by_name() -> None:
    parts = {"w": GroupLasso(0.3, axes=0), "b": L1(0.5)}
    psi, rng = SeparableSum(parts), np.random.default_rng(0)
    v = {"w": rng.standard_normal((3, 4)), "b": rng.standard_normal(3)}
    p = psi.prox(v, 1.0)
    s = {name: v[name] - p[name] for name in parts}
    nearest = psi.project_subdifferential(p, s)
    for name, part in parts.items():
        np.testing.assert_array_equal(p[name], part.prox(v[name], 1.0))
        np.testing.assert_allclose(nearest[name], s[name], rtol=0, atol=1e-15)
    assert float(psi.value(p)) == sum(float(part.value(p[name])) for name, part in parts.items())
    assert float(psi.lambda_max(v)) == max(float(part.lambda_max(v[name])) for name, part in parts.items())
    gradient = {name: -s[name] for name in parts}
    assert float(psi.margin(p, gradient)) == min(
        float(part.margin(p[name], gradient[name])) for name, part in parts.items()
    )
    manifold = psi.manifold(p)
    assert str(manifold) == f"w: {parts['w'].manifold(p['w'])}; b: {parts['b'].manifold(p['b'])}"
    assert manifold == psi.manifold(p) and hash(manifold) == hash(psi.manifold(p)) and manifold.contains(p)
    assert manifold.ambient == 15 and manifold.distance(psi.manifold(v)) == 15 - manifold.dimension
    scales = {"w": np.array([[1.0, 2.0, 0.0, 1.0]]), "b": 2.0}
    np.testing.assert_array_equal(psi.prox(v, scales)["w"], parts["w"].prox(v["w"], scales["w"]))


# --- jumps ------------------------------------------------------------------------------------------------------------

CONCAVE = [
    *(L0(0.7), Lq(0.7), Lq(0.7, 2 / 3), Lq(0.4, 0.9), MCP(0.8), MCP(0.8, gamma=0.5), SCAD(0.7), SCAD(0.9, a=2.5)),
    *(LogSum(0.7), LogSum(0.5, epsilon=1.0), LogSum(0.2, epsilon=2.0), Levels(0.3, (-1, 0, 3)), Binary(0.4)),
]


@pytest.mark.parametrize("psi", CONCAVE, ids=repr)
def test_without_convexity_the_prox_is_a_global_minimiser(psi: Regularizer) -> None:
    """No point of a fine grid costs less, for numbers on both sides of jumps and scales on both sides of all bends."""
    grid, v = np.linspace(-8, 8, 6401), np.linspace(-6, 6, 401)
    values = psi.block_values(grid)
    for scale in (0.05, 0.3, 1.0, 1.5, 2.5, 3.0, 4.0, 10.0):
        p = psi.prox(v, scale)
        cost = psi.block_values(p) + (p - v) ** 2 / (2 * scale)
        least = np.min(values + (grid - v[:, None]) ** 2 / (2 * scale), axis=1)
        assert np.all(cost <= least + 1e-14 * (1 + np.abs(least)))


# --- sets -------------------------------------------------------------------------------------------------------------


def test_the_weighted_projections_keep_what_the_metric_makes_dear() -> None:
    v, metric = np.array([3.0, 2.0, 1.0, 0.1]), np.array([1.0, 1.0, 100.0, 1.0])
    np.testing.assert_array_equal(Cardinality(2).prox(v, 1 / metric), [3.0, 0.0, 1.0, 0.0])
    np.testing.assert_array_equal(Cardinality(2).prox(v, 0.5), [3.0, 2.0, 0.0, 0.0])
    np.testing.assert_array_equal(NMSparsity(1, 2).prox(v, 1 / metric), [3.0, 0.0, 1.0, 0.0])
    np.testing.assert_array_equal(
        GroupCardinality(1, axes=0).prox(v.reshape(2, 2), 1 / metric.reshape(2, 2)), [[3.0, 0.0], [1.0, 0.0]]
    )


def test_exactly_as_many_are_kept_of_equals() -> None:
    assert np.count_nonzero(Cardinality(3).prox(np.ones((2, 4)), 1.0)) == 3
    assert np.all(np.count_nonzero(NMSparsity(2, 4).prox(np.ones((3, 8)), 1.0).reshape(-1, 4), axis=1) == 2)


def test_nan_is_kept_by_the_sets() -> None:
    v = np.array([1.0, math.nan, 3.0, 2.0])
    for psi in (Cardinality(1), NMSparsity(1, 4), BinarySet(), Levels(1.0, (0, 1)), Box(0, 1)):
        assert np.isnan(psi.prox(v, 1.0)[1]), psi


@pytest.mark.parametrize(
    ("psi", "w"),
    [
        (Box(0, 1), [2.0]),
        (NonNegative(), [-1e-300]),
        (BinarySet(), [0.9]),
        (LevelSet((0, 1)), [0.5]),
        (Cardinality(1), [1.0, 1.0]),
        (RankConstraint(0), [[1.0]]),
    ],
    ids=repr,
)
def test_outside_a_set_the_value_is_infinite_and_there_is_no_subgradient(psi: Regularizer, w: Any) -> None:
    point = np.asarray(w)
    assert psi.value(point) == math.inf and np.all(np.isinf(psi.project_subdifferential(point, 0 * point)))


# --- the ends of ranges -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("psi", [L0(0.0), Lq(0.0), L1(0.0), MCP(0.0), Binary(0.0), Levels(0.0, (0, 1))], ids=repr)
def test_with_strength_0_only_0_is_a_subgradient(psi: Regularizer) -> None:
    u = np.array([1.0, -2.0, 3.0])
    assert np.all(psi.project_subdifferential(np.zeros(3), u) == 0) and psi.weak_convexity == 0
    assert float(Subproblem(u, 0 * u, 1.0, 1.0).residual(0 * u, psi)) == pytest.approx(math.sqrt(14))


@pytest.mark.parametrize(
    "psi", [Box(-1, 1), LevelSet((0, 1)), Cardinality(1), NMSparsity(1, 2), GroupCardinality(1, axes=0)], ids=repr
)
def test_outside_a_set_the_margin_is_minus_infinity(psi: Regularizer) -> None:
    assert float(psi.margin(np.full((2, 2), 5.0), np.zeros((2, 2)))) == -math.inf


def test_unpenalized_blocks_of_a_view_are_free_and_the_others_keep_their_structure() -> None:
    w, mask = np.array([[0.0, 1.0, 0.0], [2.0, 0.0, 0.0]]), np.ones((2, 3))
    mask[0, 2] = 0
    viewed = OnView(Scaled(L1(1.0), mask.reshape(3, 2)), (3, 2))
    for psi in (Scaled(L1(1.0), mask), Scaled(OnView(L1(1.0), (3, 2)), mask), viewed):
        assert str(psi.manifold(w)) == "3 of 6 entries zero"


@pytest.mark.parametrize("scale", [np.float32(0.5), np.float64(0.5), np.int64(1), 1, torch.tensor(0.5)], ids=repr)
def test_any_number_is_a_scale(scale: Any) -> None:
    v = torch.linspace(-2, 2, 6).reshape(2, 3)
    parts = [L1(0.1), Box(-1, 1), Binary(0.1), LevelSet((0, 1)), Cardinality(2), NuclearNorm(0.1), RankConstraint(1)]
    for psi in (*parts, OnView(L1(0.1), shape=(-1,)), GroupLasso(0.1, axes=0), SparseGroupLasso(0.1, axes=0)):
        found = psi.prox(v, scale)
        assert found.dtype == v.dtype, psi
        torch.testing.assert_close(found, psi.prox(v, float(scale)))


def test_a_metric_of_numpys_numbers_is_a_number() -> None:
    v = torch.ones(2, 3)
    problem = Subproblem(v, v, np.float64(2.0), 1.0)
    psi = GroupLasso(0.1, axes=0)
    assert type(problem.metric) is float and ClosedForm().supports(psi, problem) is None
    assert Automatic().solve(problem, OnView(psi, axes=(1, 0)), v).point.dtype == torch.float32


def test_the_closed_form_of_nan_is_not_converged() -> None:
    bad = np.array([math.nan, 1.0])
    solution = ClosedForm().solve(Subproblem(bad, 0 * bad, 1.0, 1.0), L1(0.1), np.zeros(2))
    assert not solution.converged and math.isnan(float(solution.residual))


def test_half_precision_has_manifolds_and_singular_values() -> None:
    w = torch.tensor([[1.0, 0.0], [0.0, 0.0]], dtype=torch.bfloat16)
    for psi in (L1(0.1), GroupLasso(0.1, axes=0), Scaled(L1(0.1), 2.0), NuclearNorm(0.1), RankConstraint(1)):
        p = psi.prox(w, 0.5)
        assert p.dtype == w.dtype and psi.manifold(p).contains(p)


def test_equal_parts_have_equal_hashes() -> None:
    one, other = (SeparableSum({name: L1(1.0) for name in names}) for names in ("ab", "ba"))
    assert one == other and hash(one) == hash(other)
    assert hash(Scaled(L1(1.0), -0.0)) == hash(Scaled(L1(1.0), 0.0))
    w = {"a": np.zeros(2), "b": np.ones(2)}
    assert one.manifold(w) == other.manifold(w) and hash(one.manifold(w)) == hash(other.manifold(w))


def test_a_manifold_does_not_contain_arrays_of_another_shape() -> None:
    assert not L1(1.0).manifold(np.zeros(3)).contains(np.zeros((2, 3)))
    assert not NuclearNorm(1.0).manifold(np.ones((2, 2))).contains(np.ones((2, 3)))


def test_a_sum_over_names_is_written_and_read() -> None:
    psi = SeparableSum({"w": GroupLasso(0.1, axes=0), "b": Zero()})
    assert from_data(SeparableSum, to_data(psi), "key") == psi


def test_huge_and_missing_entries_overflow_nowhere() -> None:
    v = np.full(2, 1e30, dtype=np.float32)
    np.testing.assert_array_equal(LogSum(0.3).prox(v, 1.0), v)
    assert float(SparseGroupLasso(1.0, axes=0).lambda_max(np.zeros((0, 3)))) == 0

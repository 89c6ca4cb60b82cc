"""The nuclear norm's fast ways: Gram matrices where they are accurate, followed singular vectors, certificates."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from optkit.algorithms import proxgen, ramda
from optkit.core import Array, Regularizer, Subproblem
from optkit.regularizers import NuclearNorm, OnView
from optkit.regularizers.leading import LOSS, Gram, leading, leading_all, within
from optkit.regularizers.sketch import norm_bound, row_space
from optkit.regularizers.tracked import SPARE, TrackedNuclearNorm
from optkit.solvers import (
    AcceleratedProximalGradient,
    Automatic,
    FixedIterations,
    ProximalGradient,
    SubgradientNorm,
)

from .cases import EACH_BACKEND, Backend, host

SHAPES = [(40, 40), (60, 24), (24, 60)]
KINDS = pytest.mark.parametrize("dtype", [np.float64, np.float32])


def spectrum(shape: tuple[int, int], s: np.ndarray, seed: int = 0) -> np.ndarray:
    """A matrix with these singular values."""
    rng = np.random.default_rng(seed)
    u, v = (np.linalg.qr(rng.standard_normal((n, len(s))))[0] for n in shape)
    return np.asarray((u * s) @ v.T)


def shrunk(a: np.ndarray, threshold: float) -> np.ndarray:
    """The soft threshold of the singular values, by the full decomposition in float64."""
    u, s, vh = np.linalg.svd(np.asarray(a, dtype=np.float64), full_matrices=False)
    return np.asarray((u * np.maximum(s - threshold, 0)) @ vh)


@dataclass(frozen=True)
class FullNuclearNorm(NuclearNorm):
    """The readable twin: all by full decompositions, nothing followed."""

    def prox(self, v: Array, scale: Array | float) -> Array:
        return np.asarray(shrunk(v, self.threshold(scale)), dtype=v.dtype)

    def project_subdifferential(self, w: Array, u: Array) -> Array:
        left, s, right = np.linalg.svd(w)
        rank = int(np.sum(s > np.finfo(w.dtype).eps * max(w.shape) * s[0]))
        columns, rows = left[:, rank:], right[rank:]
        a, t, b = np.linalg.svd(columns.T @ u @ rows.T, full_matrices=False)
        ball = columns @ (a * np.minimum(t, self.strength)) @ b @ rows
        return np.asarray(self.strength * left[:, :rank] @ right[:rank] + ball)

    def tracked(self, start: Array | None = None) -> Regularizer:
        return self


# --- Gram matrices ----------------------------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("condition", [1.0, 1e2, 1e4, 1e8, 1e12])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_prox_is_that_of_the_full_decomposition(shape: tuple[int, int], condition: float, dtype: Any) -> None:
    a = spectrum(shape, np.logspace(0, -math.log10(condition), min(shape))).astype(dtype)
    eps, norm = float(np.finfo(dtype).eps), float(np.linalg.norm(a))
    for threshold in (0.9, 0.5, 0.2, 0.1, 1e-2, 1e-4, 1e-8, 1e-12):
        found = NuclearNorm(threshold).prox(a, 1.0)
        assert found.dtype == dtype
        assert np.linalg.norm(found - shrunk(a, threshold)) <= 8 * LOSS * eps * norm


@KINDS
def test_the_bound_decides_both_ways(dtype: Any) -> None:
    """A Gram matrix while size / threshold <= LOSS, then one in float64 if that is finer, then none."""
    a = spectrum((30, 50), np.logspace(0, -3, 30)).astype(dtype)
    size = float(np.sum((a.astype(np.float64) @ a.T.astype(np.float64)) ** 2)) ** 0.25
    assert np.linalg.norm(a.astype(np.float64), 2) <= size
    ratio = float(np.finfo(dtype).eps) / float(np.finfo(np.float64).eps)
    limits = {LOSS * (1 - 1e-3): dtype, LOSS * ratio * (1 - 1e-3): np.float64, LOSS * ratio * (1 + 1e-3): None}
    for factor, expected in limits.items():
        gram = Gram.of(a, size / factor)
        assert (None if gram is None else gram.matrix.dtype) == expected


def test_beyond_the_bound_a_gram_matrix_is_wrong() -> None:
    """Below sqrt(eps) of the largest, singular values are lost in a Gram matrix; `leading` finds them."""
    a = spectrum((20, 20), np.logspace(0, -12, 20))
    lost = np.sqrt(np.maximum(np.linalg.eigvalsh(a @ a.T), 0))[::-1]
    found = leading(a, 1e-11).s
    exact = np.logspace(0, -12, 20)[: len(found)]
    assert np.max(np.abs(lost[: len(found)] / exact - 1)) > 0.1 > 1e-3 > np.max(np.abs(found / exact - 1))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_triplets_above_the_threshold_and_those_that_are_spare(shape: tuple[int, int]) -> None:
    s = np.linspace(4, 1, min(shape))
    a = spectrum(shape, s)
    for threshold in (0.9, 2.01, 3.9, 5.0):
        above = int(np.sum(s > threshold))
        for spare in (0, 3, 100):
            found, expected = leading(a, threshold, spare), min(above + spare, len(s))
            assert found.s.shape[0] == (expected if above else 0)
            np.testing.assert_allclose(found.s, s[: found.s.shape[0]], rtol=1e-12)
            k = found.s.shape[0]
            np.testing.assert_allclose(found.u.T @ found.u, np.eye(k), rtol=0, atol=1e-13)
            np.testing.assert_allclose(found.vh @ found.vh.T, np.eye(k), rtol=0, atol=1e-13)
            np.testing.assert_allclose(a @ found.vh.T, found.u * found.s, rtol=0, atol=1e-12)


@EACH_BACKEND
def test_matrices_without_entries_of_zeros_and_of_extreme_numbers(backend: Backend) -> None:
    psi = NuclearNorm(0.5)
    for shape in ((0, 0), (0, 3), (3, 0), (1, 1), (3, 2)):
        np.testing.assert_array_equal(host(psi.prox(backend.array(np.zeros(shape)), 1.0)), np.zeros(shape))
    for factor in (1e-30, 1e30):
        v = factor * spectrum((5, 4), np.array([4.0, 2.0, 1.0]))
        found = host(replace(psi, strength=1.5 * factor).prox(backend.array(v), 1.0))
        np.testing.assert_allclose(found / factor, shrunk(v / factor, 1.5), rtol=0, atol=1e-5)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_is_refused_on_every_way(bad: float) -> None:
    a = spectrum((30, 20), np.linspace(2, 1, 20))
    a[3, 4] = bad
    tracked = TrackedNuclearNorm(NuclearNorm(1.9))
    tracked.prox(spectrum((30, 20), np.linspace(2, 1, 20)), 1.0)
    calls: list[Callable[[], Any]] = [
        lambda: NuclearNorm(1.0).prox(a, 1.0),
        lambda: NuclearNorm(1.0).vanishes(a, 1.0),
        lambda: tracked.prox(a, 1.0),
        lambda: Automatic().solve(
            Subproblem(a, np.zeros((30, 20)), np.linspace(1, 2, 20) + np.zeros((30, 20)), 1.0),
            NuclearNorm(1.0),
            np.zeros((30, 20)),
        ),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"shape \(30, 20\) holds NaN or infinity and has no singular values"):
            call()


def test_where_the_eigenvalue_driver_fails_the_full_decomposition_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: Any, **options: Any) -> None:
        raise np.linalg.LinAlgError("Eigenvalues did not converge")

    a = spectrum((12, 9), np.linspace(3, 1, 9))
    monkeypatch.setattr(np.linalg, "eigh", fails)
    np.testing.assert_allclose(NuclearNorm(1.5).prox(a, 1.0), shrunk(a, 1.5), rtol=0, atol=1e-13)


def test_half_precision() -> None:
    a = torch.asarray(spectrum((12, 9), np.linspace(3, 1, 9))).bfloat16()
    found = NuclearNorm(1.5).prox(a, 1.0)
    assert found.dtype == torch.bfloat16
    np.testing.assert_allclose(found.double(), shrunk(a.double().numpy(), 1.5), rtol=0, atol=0.05)


@EACH_BACKEND
def test_a_batch_is_what_its_matrices_are_one_by_one(backend: Backend) -> None:
    rng = np.random.default_rng(0)
    shapes = [(12, 8), (8, 12), (12, 8), (5, 5), (12, 8), (0, 4)]
    arrays = [backend.array(rng.standard_normal(shape)) for shape in shapes]
    thresholds = [2.0, 3.0, 100.0, 1e-9, 0.5, 1.0]
    for a, threshold, together in zip(arrays, thresholds, leading_all(arrays, thresholds, 2), strict=True):
        for one, other in zip(leading(a, threshold, 2), together, strict=True):
            np.testing.assert_array_equal(host(one), host(other))
    parts = [NuclearNorm(t) for t in thresholds]
    together = parts[0].tracked().prox_all([part.tracked() for part in parts], arrays, [1.0] * len(arrays))
    for part, a, point in zip(parts, arrays, together, strict=True):
        np.testing.assert_array_equal(host(part.tracked().prox(a, 1.0)), host(point))


def test_equal_shapes_share_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    eigh = np.linalg.eigh
    monkeypatch.setattr(np.linalg, "eigh", lambda a: sizes.append(a.shape[0]) or eigh(a))
    leading_all([spectrum((9, 7), np.linspace(2, 1, 7), seed) for seed in range(4)], [1.5] * 4)
    assert sizes == [4]


# --- sketches ---------------------------------------------------------------------------------------------------------


@EACH_BACKEND
@pytest.mark.parametrize("shape", SHAPES)
def test_the_row_space_of_a_matrix_of_small_rank(backend: Backend, shape: tuple[int, int]) -> None:
    s = np.linspace(2, 1, 4)
    a = spectrum(shape, s)
    rows = host(row_space(backend.array(a), 10, 3))
    assert rows.shape == (shape[1], 7)
    np.testing.assert_allclose(rows.T @ rows, np.eye(7), rtol=0, atol=1e-5)
    np.testing.assert_allclose(a @ rows @ rows.T, a, rtol=0, atol=1e-5)
    assert row_space(backend.array(a), 6, 3) is None, "rank 4 and 3 more are too many"
    assert row_space(backend.array(0 * a), 10, 3) is None
    assert row_space(backend.array(a), 3, 3) is None
    assert row_space(backend.array(a) * math.nan, 10, 3) is None


def test_half_precision_has_no_sketch() -> None:
    assert row_space(torch.ones((30, 20), dtype=torch.bfloat16), 10, 3) is None


@EACH_BACKEND
@pytest.mark.parametrize("shape", SHAPES)
def test_a_bound_of_the_norm_from_below(backend: Backend, shape: tuple[int, int]) -> None:
    for factor in (1e-30, 1.0, 1e30):
        a = spectrum(shape, np.append(3.0, np.linspace(1, 0, min(shape) - 1)))
        found = float(norm_bound(backend.array(factor * a))) / factor
        assert max(np.linalg.norm(a, axis=1)[np.argmax(np.max(np.abs(a), axis=1))], 2.7) <= found <= 3 * (1 + 1e-5)


def test_a_solve_that_begins_at_a_small_rank_takes_no_full_decomposition(monkeypatch: pytest.MonkeyPatch) -> None:
    posed, start = drawn(shape=(100, 80), rank=2)
    psi, rule = NuclearNorm(40.0), SubgradientNorm(1e-6, 1000)
    begin = Automatic().solve(posed, psi, start, rule).point
    sizes = decompositions(monkeypatch)
    found = Automatic().solve(replace(posed, linear=posed.linear + 0.01 * start), psi, begin, rule)
    assert found.converged and len(sizes) > 3 and max(sizes) < 20


# --- certificates -----------------------------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("shape", SHAPES)
def test_the_spectral_norm_is_certified_both_ways(shape: tuple[int, int], dtype: Any) -> None:
    a = spectrum(shape, np.linspace(1, 0, min(shape))).astype(dtype)
    for close in (1e-4, 1e-2, 0.5):
        assert within(a, 1 + close) and not within(a, 1 - close)
    single = spectrum(shape, np.array([1.0])).astype(dtype)  # the norms of Frobenius and of the spectrum are equal
    assert within(single, 1 + 1e-4) and not within(single, 1 - 1e-4)
    assert within(0 * a, 0.0) and not within(a, 0.0) and not within(a, 1e-12)


def test_a_large_direction_off_the_followed_ones_is_found() -> None:
    """The followed vectors know nothing of it: v times them is what it was before."""
    psi, before = NuclearNorm(1.0), spectrum((60, 50), np.append([5.0, 4.0], np.linspace(0.9, 0.1, 48)))
    tracked = psi.tracked()
    tracked.prox(before, 1.0)
    left, right = np.linalg.svd(before)[0][:, 49:50], np.linalg.svd(before)[2][-1:]
    v = before + 100 * left @ right
    missed = tracked.prox(v, 1.0)
    assert np.linalg.norm(missed - psi.prox(v, 1.0)) > 90, "no adversary: the step has found the direction"
    s = tracked.project_subdifferential(missed, v - missed)
    np.testing.assert_allclose(s, psi.project_subdifferential(missed, v - missed), rtol=0, atol=1e-12)
    assert np.linalg.norm(v - missed - s) > 90, "the residual shows what the prox has missed"
    np.testing.assert_allclose(tracked.prox(v, 1.0), psi.prox(v, 1.0), rtol=0, atol=1e-10)


def test_more_directions_than_are_followed_are_found() -> None:
    psi, tracked = NuclearNorm(1.0), NuclearNorm(1.0).tracked()
    few, many = (spectrum((80, 90), np.full(rank, 3.0), seed) for seed, rank in enumerate((2, 4 * SPARE)))
    for v in (few, many, few, 0 * few, many):
        np.testing.assert_allclose(tracked.prox(v, 1.0), psi.prox(v, 1.0), rtol=0, atol=1e-12)


@EACH_BACKEND
def test_at_its_last_point_the_subdifferential_is_known(backend: Backend) -> None:
    psi, rng = NuclearNorm(1.0), np.random.default_rng(0)
    tracked = psi.tracked()
    v = backend.array(spectrum((40, 30), np.array([3.0, 2.0, 1.5] + 20 * [0.5])))
    tracked.prox(v, 1.0)
    w = tracked.prox(v, 1.0)
    atol = 1e-4 if np.finfo(backend.dtype).bits == 32 else 1e-12
    assert float(tracked.value(w)) == pytest.approx(float(psi.value(w)), abs=atol)
    for size in (0.01, 10.0):
        u = backend.array(size * rng.standard_normal((40, 30)))
        s = tracked.project_subdifferential(w, u)
        np.testing.assert_allclose(host(s), host(psi.project_subdifferential(w, u)), rtol=0, atol=size * atol)
        assert 0 < float(tracked.distance_bound(w, u)) <= float(np.linalg.norm(host(u - s))) * (1 + 1e-5)
    other = backend.array(rng.standard_normal((40, 30)))
    assert tracked.distance_bound(other, u) == 0
    np.testing.assert_array_equal(
        host(tracked.project_subdifferential(other, u)), host(psi.project_subdifferential(other, u))
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rank", [0, 2, 12, 24])
def test_the_distance_is_bounded_from_below_at_every_rank(shape: tuple[int, int], rank: int) -> None:
    psi, rng = NuclearNorm(1.0), np.random.default_rng(0)
    tracked = psi.tracked()
    w = tracked.prox(spectrum(shape, np.append(np.full(rank, 3.0), np.full(min(shape) - rank, 0.5))), 1.0)
    for size in (0.1, 1.0):
        u = psi.project_subdifferential(w, 0 * w) + size * rng.standard_normal(shape)
        distance = np.linalg.norm(u - psi.project_subdifferential(w, u))
        assert (0.4 * distance * (size < 0.2) if rank else 0) <= tracked.distance_bound(w, u) <= distance * (1 + 1e-9)


# --- solves -----------------------------------------------------------------------------------------------------------


def drawn(seed: int = 0, shape: tuple[int, int] = (48, 40), rank: int = 3) -> tuple[Subproblem, np.ndarray]:
    """A problem whose solution has about this rank, and a start."""
    rng = np.random.default_rng(seed)
    linear, start = rng.standard_normal((2, *shape))
    anchor = 3 * rng.standard_normal((shape[0], rank)) @ rng.standard_normal((rank, shape[1]))
    return Subproblem(linear, anchor, 10 ** rng.uniform(-0.5, 0.5, shape), 1.0), start


def decompositions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of those to come."""
    sizes: list[int] = []
    for name in ("eigh", "svd"):
        driver = getattr(np.linalg, name)
        monkeypatch.setattr(
            np.linalg, name, lambda a, driver=driver, **k: sizes.append(min(a.shape[-2:])) or driver(a, **k)
        )
    return sizes


def posed_as(problem: Subproblem, of: Callable[[Any], Array]) -> Subproblem:
    """The same problem in other arrays."""
    return Subproblem(of(problem.linear), of(problem.anchor), of(problem.metric), problem.weight)


@pytest.mark.parametrize("strength", [1.0, 14.0, 60.0, 1e4])
def test_the_solution_is_that_of_long_iterations_with_full_decompositions(strength: float) -> None:
    """Of ranks from full to 0."""
    for seed in range(2):
        posed, start = drawn(seed)
        slow = ProximalGradient().solve(posed, FullNuclearNorm(strength), start, SubgradientNorm(1e-9, 10_000))
        fast = Automatic().solve(posed, NuclearNorm(strength), start, SubgradientNorm(1e-9, 10_000))
        assert slow.converged and fast.converged and fast.iterations <= slow.iterations
        np.testing.assert_allclose(fast.point, slow.point, rtol=0, atol=1e-8)
        full = float(posed.residual(fast.point, FullNuclearNorm(strength)))
        assert full == pytest.approx(float(fast.residual), rel=1e-3, abs=1e-11)
        assert NuclearNorm(strength).manifold(fast.point) == NuclearNorm(strength).manifold(slow.point)


def test_the_solution_is_that_of_cvxpy() -> None:
    cvxpy = pytest.importorskip("cvxpy", reason="compares with cvxpy, which is not installed")
    posed, start = drawn(shape=(18, 16), rank=2)
    w = cvxpy.Variable(start.shape)
    move = w - posed.anchor
    smooth = cvxpy.sum(cvxpy.multiply(posed.linear, move)) + cvxpy.sum(cvxpy.multiply(posed.metric / 2, move**2))
    least = cvxpy.Problem(cvxpy.Minimize(smooth + 8 * cvxpy.normNuc(w))).solve(solver=cvxpy.CLARABEL)
    found = Automatic().solve(posed, NuclearNorm(8.0), start)
    assert float(posed.objective(found.point, NuclearNorm(8.0))) == pytest.approx(least, rel=1e-7)


@KINDS
def test_from_wherever_a_solve_begins(dtype: Any) -> None:
    """Cold, warm, and from a point of low rank that is orthogonal to the solution."""
    posed, start = drawn()
    posed = posed_as(posed, lambda a: np.asarray(a, dtype=dtype))
    psi, tolerance = NuclearNorm(20.0), 1e-2 if dtype == np.float32 else 1e-8
    rule = SubgradientNorm(tolerance, 1000)
    cold = Automatic().solve(posed, psi, start.astype(dtype), rule)
    left, _, right = np.linalg.svd(cold.point)
    off = (100 * left[:, -3:] @ right[-3:]).astype(dtype)
    for begin in (0 * cold.point, cold.point, off, -cold.point):
        found = Automatic().solve(posed, psi, begin, rule)
        assert found.converged and found.point.dtype == dtype
        assert np.linalg.norm(found.point - cold.point) <= 2.5 * tolerance / np.min(posed.metric)
    assert Automatic().solve(posed, psi, cold.point, rule).iterations <= 2


def test_rules_that_certify_nothing_get_exact_proximal_maps() -> None:
    posed, start = drawn()
    psi, solver = NuclearNorm(20.0), AcceleratedProximalGradient()
    fast, slow = (solver.solve(posed, each, start, FixedIterations(5)) for each in (psi, FullNuclearNorm(20.0)))
    np.testing.assert_allclose(fast.point, slow.point, rtol=0, atol=1e-10)


def test_few_full_decompositions_are_taken_where_the_rank_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = decompositions(monkeypatch)
    posed, start = drawn(shape=(100, 80), rank=2)
    found = Automatic().solve(posed, NuclearNorm(40.0), start, SubgradientNorm(1e-6, 1000))
    assert found.converged and found.iterations > 10
    assert sizes.count(80) <= 4 < found.iterations <= len(sizes)


@EACH_BACKEND
def test_problems_together_are_solved_as_each_alone(backend: Backend) -> None:
    """Of different shapes and difficulties: each stops on its own."""
    psi, rule = NuclearNorm(20.0), SubgradientNorm(1e-2, 500)
    cases = [drawn(0), drawn(1), drawn(2, rank=20), drawn(3, shape=(30, 50)), drawn(4, rank=0)]
    problems = [posed_as(problem, backend.array) for problem, _ in cases]
    starts = [backend.array(start) for _, start in cases]
    for solver in (Automatic(), AcceleratedProximalGradient(), ProximalGradient()):
        together = solver.solve_all(iter(problems), psi, iter(starts), rule)
        assert len({found.iterations for found in together}) > 2
        for problem, start, found in zip(problems, starts, together, strict=True):
            alone = solver.solve(problem, psi, start, rule)
            assert alone.iterations == found.iterations and alone.converged == found.converged
            np.testing.assert_array_equal(host(alone.point), host(found.point))
    assert Automatic().solve_all([], psi, [], rule) == []
    with pytest.raises(ValueError, match="shorter"):
        Automatic().solve_all(problems, psi, starts[:2], rule)


def test_views_are_solved_together_too() -> None:
    psi, cases = NuclearNorm(10.0), [drawn(seed, shape=(12, 30)) for seed in range(3)]
    on = OnView(psi, shape=(0, -1))
    viewed = [posed_as(problem, lambda a: np.reshape(a, (12, 5, 6))) for problem, _ in cases]
    found = Automatic().solve_all(viewed, on, [start.reshape(12, 5, 6) for _, start in cases])
    for (problem, start), solution in zip(cases, found, strict=True):
        expected = Automatic().solve(problem, psi, start).point
        np.testing.assert_array_equal(solution.point, expected.reshape(12, 5, 6))


@pytest.mark.parametrize("make", [ramda, proxgen])
def test_a_run_is_the_same_together_alone_and_with_full_decompositions(make: Callable[..., Any]) -> None:
    rng, rule = np.random.default_rng(0), SubgradientNorm(1e-9, 10_000)
    fast = make(NuclearNorm(0.5), lr=0.05, stopping=rule)
    full = make(FullNuclearNorm(0.5), lr=0.05, solver=ProximalGradient(), stopping=rule)
    ws = [rng.standard_normal((14, 11)) for _ in range(3)]
    together, alone, slow = ([(w, method.init(w)) for w in ws] for method in (fast, fast, full))
    for _ in range(6):
        grads = [rng.standard_normal((14, 11)) for _ in ws]
        steps = fast.step_all([w for w, _ in together], grads, [state for _, state in together])
        together = [(step.w, step.state) for step in steps]
        for i, grad in enumerate(grads):
            for method, run in ((fast, alone), (full, slow)):
                step = method.step(run[i][0], grad, run[i][1])
                run[i] = (step.w, step.state)
            np.testing.assert_array_equal(together[i][0], alone[i][0])
            np.testing.assert_allclose(together[i][0], slow[i][0], rtol=0, atol=1e-6)


def test_a_subclass_keeps_its_own_prox() -> None:
    psi = FullNuclearNorm(1.0)
    assert super(FullNuclearNorm, psi).tracked() is psi


def test_a_followed_norm_is_of_one_solve() -> None:
    """Same input, same output: what one solve has seen does not reach the next."""
    posed, start = drawn()
    psi = NuclearNorm(20.0)
    one, two = (Automatic().solve(posed, psi, start, SubgradientNorm(1e-6, 500)) for _ in range(2))
    np.testing.assert_array_equal(one.point, two.point)
    assert psi.tracked() is not psi.tracked()

"""Every regularizer is what it says: prox, subdifferential, blocks and manifold obey their laws on all back ends."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import array_api_strict
import numpy as np
import pytest
import torch
from array_api_compat import array_namespace, device
from hypothesis import given
from hypothesis import strategies as st

import optkit.regularizers
from optkit.core import Array, Regularizer
from optkit.regularizers import L1, GroupLasso, Support, Zero

from .cases import (
    BACKENDS,
    EACH_BACKEND,
    EACH_CASE,
    REGULARIZERS,
    Backend,
    Case,
    blocks,
    examples,
    floats,
    host,
    wide_floats,
)

TINY, HUGE = 1e-30, 1e30


# --- a second implementation ------------------------------------------------------------------------------------------


class Naive(NamedTuple):
    """value(psi, block) and prox(psi, block, scale) of one block, a list of Python numbers."""

    value: Callable[[Any, list[float]], float]
    prox: Callable[[Any, list[float], float], list[float]]


def threshold(psi: GroupLasso, block: list[float]) -> float:
    return psi.strength * (len(block) ** 0.5 if psi.scale_by_size else 1)


def clamp(x: float, level: float) -> float:
    return min(max(x, -level), level)


# By Moreau's decomposition: prox of a norm is v minus the projection of v on the ball of the dual norm.
NAIVE: dict[type[Regularizer], Naive] = {
    Zero: Naive(lambda psi, block: 0.0, lambda psi, block, scale: block),
    L1: Naive(
        lambda psi, block: math.fsum(abs(x) * psi.strength for x in block),
        lambda psi, block, scale: [x - clamp(x, psi.strength * scale) for x in block],
    ),
    GroupLasso: Naive(
        lambda psi, block: threshold(psi, block) * math.hypot(*block),
        lambda psi, block, scale: [x - x * in_ball(scale * threshold(psi, block), math.hypot(*block)) for x in block],
    ),
}


def in_ball(radius: float, norm: float) -> float:
    """The factor that brings a vector of this norm into the ball."""
    return radius / max(radius, norm) if norm > 0 else 1.0


def naive_prox(psi: Regularizer, v: np.ndarray, scale: float) -> np.ndarray:
    p = np.empty_like(v)
    for block in blocks(psi, v.shape):
        p[block] = NAIVE[type(psi)].prox(psi, v[block].tolist(), scale)
    return p


def block_norms(psi: Regularizer, a: np.ndarray) -> np.ndarray:
    """The Euclidean norm of each block, at each entry of the block."""
    norms = np.zeros_like(a)
    for block in blocks(psi, a.shape):
        norms[block] = math.hypot(*a[block].tolist())
    return norms


# --- what is drawn ----------------------------------------------------------------------------------------------------


class Draw(NamedTuple):
    """psi;  v: an array of the back end;  scale: of the prox. The threshold is of the order of some entries of v."""

    psi: Regularizer
    v: Array
    scale: float


@st.composite
def draws(draw: st.DrawFn, case: Case, backend: Backend) -> Draw:
    scale = draw(st.sampled_from([0.25, 1.0, 3.0]))
    strength = draw(st.sampled_from([0.0, 0.3, 1.0])) * draw(st.sampled_from(backend.units)) / scale
    return Draw(case.make(strength), backend.array(draw(wide_floats(case.shape, backend.units))), scale)


def like(v: Array, a: np.ndarray) -> Array:
    """The values of a in the back end and dtype of v."""
    xp = array_namespace(v)
    return xp.asarray(a.astype(str(v.dtype).rpartition(".")[2]), dtype=v.dtype)


def for_each(count: int) -> Callable[[Callable[..., None]], Any]:
    """Try a law on each case and back end, with examples of its argument `data`."""
    return lambda law: EACH_CASE(EACH_BACKEND(examples(count)(given(data=st.data())(law))))


# --- the proximal map -------------------------------------------------------------------------------------------------


@for_each(15)
def test_prox_is_stationary(case: Case, backend: Backend, data: st.DataObject) -> None:
    psi, v, scale = data.draw(draws(case, backend))
    p = psi.prox(v, scale)
    s = (v - p) / scale
    error = np.abs(host(psi.project_subdifferential(p, s)) - host(s))
    assert np.all(error <= 16 * backend.eps * (block_norms(psi, host(v)) / scale + block_norms(psi, host(s))))


@for_each(10)
def test_prox_minimises(case: Case, backend: Backend, data: st.DataObject) -> None:
    """phi(z) >= phi(p) + ||z - p||^2 / (2 scale) with phi(z) = psi(z) + ||z - v||^2 / (2 scale), as psi is convex."""
    psi, v, scale = data.draw(draws(case, backend))
    if not psi.convex:
        pytest.skip("phi is strongly convex for convex psi only")
    v, p = host(v), host(psi.prox(v, scale))
    z = data.draw(wide_floats(case.shape, backend.units))

    def phi(w: np.ndarray) -> float:
        return float(psi.value(w) + np.sum((w - v) ** 2) / (2 * scale))

    size = np.linalg.norm(np.stack([v, p, z]))
    rounding = 16 * backend.eps * (size * size / scale + float(psi.value(z) + psi.value(p)))
    assert phi(z) >= phi(p) + np.sum((z - p) ** 2) / (2 * scale) - rounding


@for_each(10)
def test_prox_agrees_with_the_naive_one_and_has_its_zeros(case: Case, backend: Backend, data: st.DataObject) -> None:
    psi, v, scale = data.draw(draws(case, backend))
    p, w = host(psi.prox(v, scale)), host(v)
    naive = naive_prox(psi, w, scale)
    assert np.all(np.abs(p - naive) <= 16 * backend.eps * block_norms(psi, w))
    further, nearer = naive_prox(psi, w, scale * (1 + 1e-5)), naive_prox(psi, w, scale * (1 - 1e-5))
    assert np.all(p[nearer == 0] == 0), "a block well inside the threshold is exactly zero"
    assert np.all(p[further != 0] != 0), "a block well outside the threshold is not zero"


@for_each(5)
def test_value_agrees_with_the_naive_one(case: Case, backend: Backend, data: st.DataObject) -> None:
    psi = case.make(data.draw(st.sampled_from([0.0, 0.3, 2.0])))
    w = backend.array(data.draw(wide_floats(case.shape, backend.units)))
    naive = math.fsum(NAIVE[type(psi)].value(psi, host(w)[block].tolist()) for block in blocks(psi, case.shape))
    assert float(psi.value(w)) == pytest.approx(naive, rel=16 * backend.eps, abs=0)


@for_each(5)
def test_prox_of_0_is_0_and_nothing_moves_without_a_threshold(
    case: Case, backend: Backend, data: st.DataObject
) -> None:
    psi, v, scale = data.draw(draws(case, backend))
    assert np.all(host(psi.prox(0 * v, scale)) == 0)
    assert np.array_equal(host(psi.prox(v, 0.0)), host(v)), "scale 0"
    assert np.array_equal(host(case.make(0.0).prox(v, scale)), host(v)), "strength 0"
    assert np.all(host(case.make(0.0).prox(0 * v, 0.0)) == 0), "all of it 0"


@for_each(5)
def test_blocks_do_not_touch_each_other(case: Case, backend: Backend, data: st.DataObject) -> None:
    """With a scale for each block, prox on a block is that of the block's scale, whatever the other blocks hold."""
    psi, v, _ = data.draw(draws(case, backend))
    scales, other = np.ones(case.shape), data.draw(wide_floats(case.shape, backend.units))
    for block in blocks(psi, case.shape):
        scales[block] = data.draw(st.sampled_from([0.0, 0.5, 2.0]))
    together = host(psi.prox(v, like(v, scales)))
    for block in blocks(psi, case.shape):
        alone = psi.prox(like(v, np.where(block, host(v), other)), float(scales[block][0]))
        assert np.array_equal(together[block], host(alone)[block])


# --- the subdifferential ----------------------------------------------------------------------------------------------


@for_each(10)
def test_subgradients_bound_from_below(case: Case, backend: Backend, data: st.DataObject) -> None:
    """psi(z) >= psi(w) + <s, z - w> for the subgradient s that is nearest to any u, as psi is convex."""
    psi = case.make(data.draw(st.sampled_from([0.0, 0.3, 2.0])))
    if not psi.convex:
        pytest.skip("the inequality holds for convex psi only")
    w, z, u = (data.draw(wide_floats(case.shape, units)) for units in (backend.units, backend.units, (1.0, TINY, HUGE)))
    s = host(psi.project_subdifferential(backend.array(w), backend.array(u)))
    rounding = 16 * backend.eps * (np.sum(np.abs(s) * (np.abs(z) + np.abs(w))) + psi.value(z) + psi.value(w))
    assert psi.value(z) >= psi.value(w) + np.sum(s * (z - w)) - rounding


@for_each(10)
def test_the_projection_is_the_nearest_subgradient(case: Case, backend: Backend, data: st.DataObject) -> None:
    """Whatever v is, (v - p) / scale is a subgradient at p = prox(v), and none is nearer to u than the projection."""
    psi, v, scale = data.draw(draws(case, backend))
    u = backend.array(data.draw(wide_floats(case.shape, (1 / scale, TINY, HUGE))))
    p = psi.prox(v, scale)
    other = (host(v) - host(p)) / scale
    nearest, size = (
        host(psi.project_subdifferential(p, u)),
        block_norms(psi, host(u)) + block_norms(psi, host(v)) / scale,
    )
    distance, further = (block_norms(psi, host(u) - s) for s in (nearest, other))
    assert np.all(distance <= further + 16 * backend.eps * size)


@EACH_BACKEND
@examples(30)
@given(data=st.data())
def test_at_0_the_subdifferential_is_the_ball(backend: Backend, data: st.DataObject) -> None:
    """For groups: no point of the ball is nearer to u than the projection, and the projection lies in the ball."""
    psi, shape = GroupLasso(0.7, axes=0), (3, 2)
    u, direction = data.draw(wide_floats(shape, (1.0, TINY, HUGE))), data.draw(floats(shape))
    radius = 0.7 * 3**0.5
    inside = radius * direction / np.maximum(block_norms(psi, direction), 1)
    nearest = host(psi.project_subdifferential(backend.array(np.zeros(shape)), backend.array(u)))
    slack = 8 * backend.eps
    assert np.all(block_norms(psi, nearest) <= radius * (1 + slack))
    assert np.all(block_norms(psi, u - nearest) <= block_norms(psi, u - inside) + slack * block_norms(psi, u))


@EACH_CASE
@EACH_BACKEND
def test_subgradients_at_subnormal_numbers_are_finite(case: Case, backend: Backend) -> None:
    psi, least = case.make(2.0), backend.array(np.full(case.shape, np.finfo(backend.dtype).smallest_subnormal))
    assert np.all(np.isfinite(host(psi.project_subdifferential(least, 1 + least))))


# --- blocks -----------------------------------------------------------------------------------------------------------


@for_each(5)
def test_block_max_is_the_least_majorant_constant_on_blocks(case: Case, backend: Backend, data: st.DataObject) -> None:
    psi, a, _ = data.draw(draws(case, backend))
    majorant, a = np.broadcast_to(host(psi.block_max(a)), case.shape), host(a)
    for block in blocks(psi, case.shape):
        assert np.all(majorant[block] == max(a[block]))


@for_each(5)
def test_value_is_the_sum_over_blocks(case: Case, backend: Backend, data: st.DataObject) -> None:
    psi, w = case.make(0.5), data.draw(wide_floats(case.shape, backend.units))
    none = float(psi.value(backend.array(0 * w)))
    parts = [float(psi.value(backend.array(np.where(b, w, 0.0)))) - none for b in blocks(psi, case.shape)]
    assert float(psi.value(backend.array(w))) == pytest.approx(none + math.fsum(parts), rel=16 * backend.eps, abs=0)


def test_groups_of_one_entry_are_the_l1_norm() -> None:
    v = np.linspace(-2, 2, 9).reshape(9, 1)
    entries, groups = L1(0.7), GroupLasso(0.7, axes=1)
    assert float(groups.value(v)) == pytest.approx(float(entries.value(v)), rel=1e-15)
    np.testing.assert_allclose(groups.prox(v, 1.5), entries.prox(v, 1.5), rtol=0, atol=1e-15)


# --- arrays -----------------------------------------------------------------------------------------------------------


def results(psi: Regularizer, v: Array) -> dict[str, Array]:
    """What psi makes of v, by name, where it is an array."""
    return {
        "prox": psi.prox(v, 0.5),
        "prox with an array of scales": psi.prox(v, psi.block_max(0.5 + 0 * v)),
        "project_subdifferential": psi.project_subdifferential(psi.prox(v, 0.5), v),
        "block_max": psi.block_max(v),
        "value": psi.value(v),
    }


@EACH_CASE
@EACH_BACKEND
@pytest.mark.parametrize("strength", [0.3, 1, np.float64(0.3)], ids=["float", "int", "numpy"])
def test_arrays_stay_what_they_are(case: Case, backend: Backend, strength: float) -> None:
    psi, before = case.make(strength), np.random.default_rng(0).standard_normal(case.shape).astype(backend.dtype)
    v = backend.array(before)
    for name, result in results(psi, v).items():
        assert array_namespace(result) is array_namespace(v) and result.dtype == v.dtype, name
        assert name in ("value", "block_max") or result.shape == v.shape, name
    assert tuple(psi.value(v).shape) == ()
    psi.manifold(v)
    assert np.array_equal(host(v), before), "the argument is left as it is"


STRICT_DEVICE = array_api_strict.Device("device1")


@EACH_CASE
@pytest.mark.parametrize(
    "empty",
    [
        lambda shape: torch.empty(shape, device="meta"),
        lambda shape: array_api_strict.zeros(shape, device=STRICT_DEVICE),
    ],
    ids=["torch, a device without data", "array_api_strict, its second device"],
)
def test_arrays_stay_on_their_device_and_nothing_waits_for_it(case: Case, empty: Callable[..., Array]) -> None:
    v = empty(case.shape)
    for name, result in results(case.make(0.3), v).items():
        assert device(result) == device(v), name


# --- manifolds --------------------------------------------------------------------------------------------------------


@for_each(5)
def test_manifolds_are_the_same_on_every_back_end(case: Case, backend: Backend, data: st.DataObject) -> None:
    psi, v, scale = data.draw(draws(case, backend))
    p = psi.prox(v, scale)
    here, there = psi.manifold(p), psi.manifold(host(p))
    assert here == there and hash(here) == hash(there) and str(here) == str(there)
    assert here.contains(p) and here.contains(host(p))
    assert 0 <= here.dimension <= here.ambient == math.prod(case.shape)
    assert "\n" not in str(here)


@for_each(5)
def test_a_support_is_where_blocks_are_not_zero(case: Case, backend: Backend, data: st.DataObject) -> None:
    psi, v, scale = data.draw(draws(case, backend))
    p = host(psi.prox(v, scale))
    support = psi.manifold(backend.array(p))
    if not isinstance(support, Support) or isinstance(psi, Zero):
        pytest.skip("another kind of manifold")
    zero = [block for block in blocks(psi, case.shape) if not np.any(p[block])]
    assert support.dimension == p.size - sum(int(block.sum()) for block in zero)
    assert str(support).startswith(f"{len(zero)} of {len(blocks(psi, case.shape))} ")
    for block in zero:
        outside = backend.array(p + 0.5 * block)
        assert not support.contains(outside, tol=0.4) and support.contains(outside, tol=0.5)
        other = psi.manifold(outside)
        assert other != support and other.distance(support) == support.distance(other) == block.sum()


def test_the_manifold_of_zero_is_the_whole_space() -> None:
    manifold = Zero().manifold(np.zeros((2, 3)))
    assert manifold.dimension == manifold.ambient == 6 and manifold.contains(np.ones((2, 3)))


def test_supports_differ_by_pattern_and_by_shape() -> None:
    psi, w = GroupLasso(1.0, axes=0), np.array([[1.0, 0.0], [2.0, 0.0]])
    support = psi.manifold(w)
    assert support == psi.manifold(-3 * w) and len({support, psi.manifold(-3 * w)}) == 1
    assert support not in (psi.manifold(w[:, ::-1]), psi.manifold(w[:1]), L1(1.0).manifold(w), "1 of 2 groups zero")
    assert (support.dimension, support.ambient, str(support)) == (2, 4, "1 of 2 groups zero")
    assert support.distance(psi.manifold(w[:, ::-1])) == 4 and support.distance(support) == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_support_contains_only_finite_arrays(bad: float) -> None:
    support = L1(1.0).manifold(np.array([1.0, 0.0]))
    assert not support.contains(np.array([bad, 0.0])) and not support.contains(np.array([0.0, bad]))


# --- shapes that do not fit -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("axes", "shape", "words"),
    [
        ((0, 2, 3), (8,), r"GroupLasso: axes \(0, 2, 3\) do not exist in an array of shape \(8,\)"),
        ((0, 2, 3), (4, 8), r"axes \(0, 2, 3\) do not exist in an array of shape \(4, 8\); an axis lies in \[-2, 2\)"),
        (0, (), r"axes \(0,\) do not exist in an array of shape \(\).*leave this array unregularized"),
        (-2, (8,), r"axes \(-2,\) do not exist in an array of shape \(8,\)"),
        ((0, 0), (4, 8), r"GroupLasso: axes \(0, 0\) name an axis of shape \(4, 8\) twice; name it once"),
        ((1, -1), (4, 8), r"axes \(1, -1\) name an axis of shape \(4, 8\) twice; name it once"),
        (None, (4, 8), r"GroupLasso has axes=None; say which axes .* axes=\(0,\), or let optkit.torch.regularize"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused_with_the_remedy(axes: Any, shape: tuple[int, ...], words: str) -> None:
    psi, w = GroupLasso(0.1, axes=axes), np.ones(shape)
    for refuse in (lambda: psi.check(shape), lambda: psi.prox(w, 1.0), lambda: psi.value(w), lambda: psi.block_max(w)):
        with pytest.raises(ValueError, match=words):
            refuse()


@EACH_CASE
def test_a_shape_that_fits_is_accepted(case: Case) -> None:
    case.make(0.1).check(case.shape)


# --- the list ---------------------------------------------------------------------------------------------------------


def test_every_regularizer_is_in_the_list_of_cases() -> None:
    public = [getattr(optkit.regularizers, name) for name in optkit.regularizers.__all__]
    concrete = {part for part in public if issubclass(part, Regularizer) and not inspect.isabstract(part)}
    assert concrete == {type(case.make(0.1)) for case in REGULARIZERS.values()}


def test_facts_are_not_claimed_in_vain() -> None:
    """Separable means that each block is one entry, so that a majorant constant on blocks is the array itself."""
    a = BACKENDS["numpy64"].array([[1.0, 2.0], [3.0, 4.0]])
    for psi in (Zero(), L1(0.1), GroupLasso(0.1, axes=0)):
        assert psi.separable == np.array_equal(np.broadcast_to(psi.block_max(a), a.shape), a)

"""Every regularizer is what it says: all laws of optkit.testing, and what is particular to single ones."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import array_api_strict
import numpy as np
import pytest
import torch
from array_api_compat import device
from hypothesis import given
from hypothesis import strategies as st

import optkit.regularizers
from optkit.core import Array, Regularizer
from optkit.regularizers import L1, GroupLasso, Zero
from optkit.testing import BACKENDS, REGULARIZER_LAWS, check_regularizer, host, wide_floats

from .cases import EACH_BACKEND, EACH_CASE, REGULARIZERS, Backend, Case, examples, floats

TINY, HUGE = 1e-30, 1e30
OTHERS = [name for name in BACKENDS if name != "numpy64"]


# --- the laws ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", REGULARIZER_LAWS)
@pytest.mark.parametrize("case", REGULARIZERS.values(), ids=REGULARIZERS)
def test_the_laws_hold(case: Case, law: str) -> None:
    for backends, count in ((["numpy64"], 10), (OTHERS, 2)):
        check_regularizer(
            case.make,
            case.shape,
            laws=[law],
            backends=backends,
            examples=count,
            naive_prox=case.naive,
            unit=case.unit,
        )


# --- groups -----------------------------------------------------------------------------------------------------------


def norms(a: np.ndarray) -> np.ndarray:
    """The Euclidean norm of each column."""
    return np.array([math.hypot(*column) for column in a.T])


@EACH_BACKEND
@examples(30)
@given(data=st.data())
def test_at_0_the_subdifferential_is_the_ball(backend: Backend, data: st.DataObject) -> None:
    """For groups: no point of the ball is nearer to u than the projection, and the projection lies in the ball."""
    psi, shape = GroupLasso(0.7, axes=0), (3, 2)
    u, direction = data.draw(wide_floats(shape, (1.0, TINY, HUGE))), data.draw(floats(shape))
    radius = 0.7 * 3**0.5
    inside = radius * direction / np.maximum(norms(direction), 1)
    nearest = host(psi.project_subdifferential(backend.array(np.zeros(shape)), backend.array(u)))
    slack = 8 * backend.eps
    assert np.all(norms(nearest) <= radius * (1 + slack))
    assert np.all(norms(u - nearest) <= norms(u - inside) + slack * norms(u))


def test_groups_of_one_entry_are_the_l1_norm() -> None:
    v = np.linspace(-2, 2, 9).reshape(9, 1)
    entries, groups = L1(0.7), GroupLasso(0.7, axes=1)
    assert float(groups.value(v)) == pytest.approx(float(entries.value(v)), rel=1e-15)
    np.testing.assert_allclose(groups.prox(v, 1.5), entries.prox(v, 1.5), rtol=0, atol=1e-15)


# --- devices ----------------------------------------------------------------------------------------------------------


def results(psi: Regularizer, v: Array) -> dict[str, Array]:
    """What psi makes of v, by name, where it is an array."""
    return {
        "prox": psi.prox(v, 0.5),
        "prox with an array of scales": psi.prox(v, psi.block_max(0.5 + 0 * v)),
        "project_subdifferential": psi.project_subdifferential(psi.prox(v, 0.5), v),
        "block_max": psi.block_max(v),
        "value": psi.value(v),
    }


@EACH_BACKEND
@pytest.mark.parametrize("strength", [1, np.float64(0.3)], ids=["int", "numpy"])
def test_the_type_of_the_strength_does_not_matter(backend: Backend, strength: float) -> None:
    v = backend.array([[0.5, -2.0], [0.0, 1.0]])
    for psi in (L1(strength), GroupLasso(strength, axes=0)):
        assert all(result.dtype == v.dtype for result in results(psi, v).values())


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


# --- the list ---------------------------------------------------------------------------------------------------------


def test_every_regularizer_is_in_the_list_of_cases() -> None:
    public = [getattr(optkit.regularizers, name) for name in optkit.regularizers.__all__]
    concrete = {
        part
        for part in public
        if inspect.isclass(part) and issubclass(part, Regularizer) and not inspect.isabstract(part)
    }
    assert concrete == {type(case.make(0.1)) for case in REGULARIZERS.values()}

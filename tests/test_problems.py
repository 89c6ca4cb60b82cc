"""Problems: gradients are those of the values, data are the data."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from optkit.problems import LeastSquares, LogisticRegression
from optkit.problems.datasets import digits
from optkit.problems.models import ConvNet

RNG = np.random.default_rng(0)
FEATURES, LABELS = RNG.standard_normal((30, 4)), np.sign(RNG.standard_normal(30))


@pytest.mark.parametrize("kind", [LeastSquares, LogisticRegression])
def test_gradient_is_that_of_the_value(kind: type) -> None:
    problem, w = kind(FEATURES, LABELS), RNG.standard_normal(4)
    expected = np.asarray(approx_fprime(w, problem.value, 1e-7))
    np.testing.assert_allclose(problem.gradient(w, RNG), expected, atol=1e-5)


@pytest.mark.parametrize("kind", [LeastSquares, LogisticRegression])
def test_batches_are_unbiased(kind: type) -> None:
    w, batches = RNG.standard_normal(4), kind(FEATURES, LABELS, batch=5)
    mean = np.mean([batches.gradient(w, RNG) for _ in range(4000)], axis=0)
    np.testing.assert_allclose(mean, kind(FEATURES, LABELS).gradient(w, RNG), atol=0.05)


def test_huge_margins_stay_finite() -> None:
    problem = LogisticRegression(1e6 * FEATURES, LABELS)
    w = np.ones(4)
    assert np.isfinite(problem.value(w)) and np.all(np.isfinite(problem.gradient(w, RNG)))


@pytest.mark.parametrize(
    ("features", "targets", "message"),
    [
        (FEATURES, LABELS[:5], r"shapes \(30, 4\) and \(5,\)"),
        (FEATURES[0], LABELS, "features must be a matrix"),
        (FEATURES, (LABELS + 1) / 2, "2 \\* label - 1"),
    ],
)
def test_bad_data_are_refused(features: np.ndarray, targets: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LogisticRegression(features, targets)


def test_digits_is_a_fixed_split_of_all_images() -> None:
    data = digits()
    assert data.train_images.shape == (1437, 1, 8, 8) and data.test_images.shape == (360, 1, 8, 8)
    assert data.train_images.dtype == np.float32 and data.train_images.min() == 0 and data.train_images.max() == 1
    assert data.classes == 10 and np.bincount(data.test_labels).min() >= 34
    np.testing.assert_array_equal(data.train_images, digits().train_images)


def test_the_network_has_the_stated_layers() -> None:
    shapes = [tuple(p.shape) for p in ConvNet().build(digits()).parameters() if p.ndim > 1]
    assert shapes == [(32, 1, 3, 3), (64, 32, 3, 3), (128, 1024), (10, 128)]
    with pytest.raises(ValueError, match=">= 1, got 0"):
        ConvNet(hidden=0)

"""Problems: gradients are those of the values, data are the data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from sklearn.metrics import log_loss

from optkit.problems import LeastSquares, LinearModel, LogisticRegression, SoftmaxRegression
from optkit.problems.datasets import digits
from optkit.problems.models import ConvNet

RNG = np.random.default_rng(0)
FEATURES, LABELS = RNG.standard_normal((30, 4)), np.sign(RNG.standard_normal(30))


CLASSES = np.eye(3)[RNG.integers(3, size=30)]
PROBLEMS = {
    "least squares": LeastSquares(FEATURES, LABELS),
    "least squares, ridge": LeastSquares(FEATURES, LABELS, ridge=0.3),
    "least squares, matrix": LeastSquares(FEATURES, RNG.standard_normal((30, 3)), ridge=0.3),
    "logistic": LogisticRegression(FEATURES, LABELS),
    "logistic, ridge": LogisticRegression(FEATURES, LABELS, ridge=0.3),
    "softmax": SoftmaxRegression(FEATURES, CLASSES),
    "softmax, ridge": SoftmaxRegression(FEATURES, CLASSES, ridge=0.3),
}
EACH = pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)


def point(problem: LinearModel) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(problem.start.shape)


@EACH
def test_gradient_is_that_of_the_value(problem: LinearModel) -> None:
    w = point(problem)
    expected = np.asarray(approx_fprime(w.ravel(), lambda flat: float(problem.value(flat.reshape(w.shape))), 1e-7))
    np.testing.assert_allclose(problem.gradient(w, RNG).ravel(), expected, atol=1e-5)


@EACH
def test_batches_are_unbiased_with_the_second_moment_that_is_stated(problem: LinearModel) -> None:
    """All batches of one row, and all ordered pairs of a few rows, by enumeration."""
    few = replace(problem, features=problem.features[:6], targets=problem.targets[:6])
    w = point(problem)
    rows = [replace(few, features=few.features[[i]], targets=few.targets[[i]]).gradient(w, RNG) for i in range(6)]
    pairs = [(a + b) / 2 for a in rows for b in rows]
    for batch, drawn in ((1, rows), (2, pairs)):
        np.testing.assert_allclose(np.mean(drawn, axis=0), few.gradient(w, RNG), atol=1e-12)
        expected = np.mean(np.square(drawn), axis=0)
        np.testing.assert_allclose(replace(few, batch=batch).second_moment(w), expected, atol=1e-12)
    np.testing.assert_allclose(few.second_moment(w), few.gradient(w, RNG) ** 2, atol=1e-12)


@EACH
def test_the_gradient_is_as_smooth_as_stated(problem: LinearModel) -> None:
    for _ in range(50):
        v, w = (3 * RNG.standard_normal(problem.start.shape) for _ in range(2))
        change = np.linalg.norm(problem.gradient(v, RNG) - problem.gradient(w, RNG))
        assert change <= problem.smoothness * np.linalg.norm(v - w) * (1 + 1e-12)


@EACH
def test_batches_are_drawn_from_the_rows(problem: LinearModel) -> None:
    w, batches = point(problem), replace(problem, batch=5)
    mean = np.mean([batches.gradient(w, RNG) for _ in range(4000)], axis=0)
    np.testing.assert_allclose(mean, problem.gradient(w, RNG), atol=0.1)


def test_softmax_is_the_cross_entropy_of_scikit_learn() -> None:
    problem = PROBLEMS["softmax"]
    w = point(problem)
    scores = np.exp(FEATURES @ w)
    probabilities = scores / scores.sum(axis=1, keepdims=True)
    assert float(problem.value(w)) == pytest.approx(log_loss(CLASSES.argmax(axis=1), probabilities))
    assert np.isfinite(problem.value(1e4 * w)) and np.all(np.isfinite(problem.gradient(1e4 * w, RNG)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: SoftmaxRegression(FEATURES, LABELS),
            r"one 1.0 in each row .* shape \(30,\); numpy.eye\(k\)\[labels\]",
        ),
        (lambda: SoftmaxRegression(FEATURES, 2 * CLASSES), "one 1.0 in each row"),
        (lambda: LogisticRegression(FEATURES, CLASSES), r"vector \(n,\), got \(30, 3\); SoftmaxRegression"),
        (lambda: LeastSquares(FEATURES, LABELS, ridge=-1.0), "ridge must be a finite number >= 0, got -1.0"),
        (lambda: LeastSquares(FEATURES[:0], LABELS[:0]), r"at least one row, got shape \(0, 4\)"),
        (lambda: LeastSquares(FEATURES, LABELS, batch=0), "batch must be an integer >= 1, got 0"),
        (lambda: LeastSquares(FEATURES, np.ones((30, 2, 2))), r"got shapes \(30, 4\) and \(30, 2, 2\)"),
    ],
)
def test_what_a_problem_refuses(make: Callable[[], LinearModel], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


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

"""Handwritten digits embedded in scikit-learn: 1,797 real 8x8 images, nothing to download."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from .split import Split


def digits() -> Split:
    """1,437 training and 360 test images (stratified, always the same), pixels scaled to [0, 1].

    Reference: Alpaydin and Kaynak, "Optical recognition of handwritten digits", UCI repository, 1998.
    """
    data, target = load_digits(return_X_y=True)
    images = (data / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    train, test, train_labels, test_labels = train_test_split(
        images, target.astype(np.int64), test_size=360, random_state=0, stratify=target
    )
    return Split(np.asarray(train), np.asarray(train_labels), np.asarray(test), np.asarray(test_labels))

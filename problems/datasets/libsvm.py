"""Binary classification problems of the LIBSVM collection, for the convex problems."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_svmlight_file

from optkit import validate

from .files import Published

_ADDRESS = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/binary/"
_SUMS = {
    "a1a": "f02b5fe13ed09e23506aa04a0922e15d7a6708996f24dfe88ae094f30e916b1a",
    "a9a": "1dcb2b4aedea0b5a9e964192dd211675d16cf05ab6477ddd0702d87c1d1af8da",
    "a9a.t": "e55725b53c3c47f7053bd3ef12e41555539eac4c0fe989e69345cc4dd0ea6e8d",
    "mushrooms": "a039b9f09528a5dcfb76e0e3d32eb29b10aa6852485d90fc79cc8dffd3f192e2",
    "phishing": "c47123f6f5ff3c39c64441a1655a3407a2568e80a9369e2ad3213aeacdf21fa2",
    "w8a": "d7fe0ec5079fb8fb0901f85ecbbf87e05698600dc0326e0edbe222426b438801",
}
LIBSVM = {name: Published("libsvm", f"{name}.bz2", _ADDRESS, sha256) for name, sha256 in _SUMS.items()}


class Table(NamedTuple):
    """features: (n, d), float64;  labels: (n,), -1 or 1."""

    features: np.ndarray[Any, np.dtype[np.float64]]
    labels: np.ndarray[Any, np.dtype[np.float64]]


def libsvm(name: str) -> Table:
    """A data set of the collection, dense: a1a, a9a, a9a.t, mushrooms, phishing or w8a.  Errors: see Published.path.

    Of the two labels the larger one becomes 1, the other -1. Raises ValueError for another name.

    Reference: Chang and Lin, "LIBSVM: a library for support vector machines", 2011.
    """
    validate.choice("name", name, LIBSVM)
    features, labels = load_svmlight_file(str(LIBSVM[name].path()))
    return Table(features.toarray(), np.where(labels == labels.max(), 1.0, -1.0))

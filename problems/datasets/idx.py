"""MNIST and Fashion-MNIST: 28x28 grey images of digits and of clothes, in the idx format of their publishers."""

from __future__ import annotations

import gzip
from typing import Any

import numpy as np

from .files import Published
from .split import Split

_MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist/"
_FASHION = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"


def _files(folder: str, address: str, *sums: str) -> tuple[Published, ...]:
    names = (f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))
    return tuple(Published(folder, name, address, sha256) for name, sha256 in zip(names, sums, strict=True))


MNIST = _files(
    "mnist",
    _MNIST,
    "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
)
FASHION_MNIST = _files(
    "fashion-mnist",
    _FASHION,
    "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
)


def mnist() -> Split:
    """60,000 training and 10,000 test images of digits, pixels scaled to [0, 1].  Errors: see Published.path.

    Reference: LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition", 1998.
    """
    return _split(MNIST)


def fashion_mnist() -> Split:
    """60,000 training and 10,000 test images of clothes, pixels scaled to [0, 1].  Errors: see Published.path.

    Reference: Xiao, Rasul and Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning
    algorithms", 2017.
    """
    return _split(FASHION_MNIST)


def _split(files: tuple[Published, ...]) -> Split:
    train, train_labels, test, test_labels = (read_idx(file) for file in files)
    return Split(_images(train), train_labels.astype(np.int64), _images(test), test_labels.astype(np.int64))


def _images(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> np.ndarray[Any, np.dtype[np.float32]]:
    return (pixels[:, None] / np.float32(255)).astype(np.float32)


def read_idx(file: Published) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The array of bytes in a gzip-compressed idx file. Raises ValueError for another format."""
    path = file.path()
    content = gzip.decompress(path.read_bytes())
    kind, ndim = content[2:4]
    shape = tuple(int(n) for n in np.frombuffer(content, ">u4", ndim, offset=4))
    if content[:2] != b"\0\0" or kind != 8 or len(content) != 4 + 4 * ndim + int(np.prod(shape)):
        raise ValueError(f"{path} is no idx file of bytes; replace it with {file.address}{file.name}")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * ndim).reshape(shape)

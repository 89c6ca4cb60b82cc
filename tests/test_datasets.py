"""Published data sets are read as they are, and refused where they are missing, truncated or altered."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from optkit.problems.datasets import DATASETS, Published, fashion_mnist, idx, libsvm, mnist

IMAGES = np.arange(2 * 28 * 28, dtype=np.uint32).astype(np.uint8).reshape(2, 28, 28)


def as_idx(array: np.ndarray) -> bytes:
    header = b"\0\0\x08" + bytes([array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return gzip.compress(header + array.tobytes())


def publish(folder: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> Published:
    """A file with this content, below the folder that OPTKIT_DATA names."""
    monkeypatch.setenv("OPTKIT_DATA", str(folder))
    file = Published("some", "data.gz", "https://example.org/", hashlib.sha256(content).hexdigest())
    (folder / "some").mkdir()
    (folder / "some" / "data.gz").write_bytes(content)
    return file


def test_idx_files_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.testing.assert_array_equal(idx.read_idx(publish(tmp_path, as_idx(IMAGES), monkeypatch)), IMAGES)


@pytest.mark.parametrize("spoil", [lambda content: content[:-1], lambda content: b"x" + content[1:]])
def test_a_spoilt_file_is_refused_by_name(
    spoil: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = publish(tmp_path, as_idx(IMAGES), monkeypatch)
    path = tmp_path / "some" / "data.gz"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ValueError, match=r"data.gz is truncated or altered: .*; replace it with https://example.org/"):
        idx.read_idx(file)


def test_a_missing_file_is_refused_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = replace(publish(tmp_path, b"", monkeypatch), name="other.gz")
    with pytest.raises(FileNotFoundError, match=r"other.gz is missing; put https://.* there, or unset OPTKIT_DATA"):
        file.path()


def test_another_format_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for content in (gzip.compress(b"\0\0\x0d\x01" + bytes(8)), gzip.compress(b"\0\0\x08\x01\0\0\0\x09abcd")):
        folder = tmp_path / hashlib.md5(content).hexdigest()
        folder.mkdir()
        with pytest.raises(ValueError, match="is no idx file of bytes; replace it with"):
            idx.read_idx(publish(folder, content, monkeypatch))


def test_without_pooch_a_download_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPTKIT_DATA", raising=False)
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(RuntimeError, match=r"install pooch \(pip install optkit\[data\]\), or set OPTKIT_DATA"):
        mnist()


def test_a_download_is_verified_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What pooch is asked for: it verifies and keeps."""
    pooch = pytest.importorskip("pooch", reason="needs pooch, from the extra `data`")
    asked = []
    monkeypatch.delenv("OPTKIT_DATA", raising=False)
    monkeypatch.setattr(pooch, "retrieve", lambda *given, **options: asked.append((*given, options)) or "there")
    assert idx.MNIST[0].path() == Path("there")
    (url, known, name, folder, options) = asked[0]
    assert url.startswith("https://") and url.endswith(name) and known == f"sha256:{idx.MNIST[0].sha256}"
    assert Path(folder).name == "mnist" and options == {"progressbar": True}


def test_an_unknown_table_is_refused() -> None:
    with pytest.raises(ValueError, match="name must be one of 'a1a', 'a9a', .*, got 'b1b'"):
        libsvm("b1b")


def test_a_table_is_read_with_labels_of_both_signs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bz2.compress(b"1 1:0.5 3:2\n2 2:-1\n")
    monkeypatch.setenv("OPTKIT_DATA", str(tmp_path))
    (tmp_path / "libsvm").mkdir()
    (tmp_path / "libsvm" / "a1a.bz2").write_bytes(content)
    module = sys.modules["optkit.problems.datasets.libsvm"]
    file = replace(module.LIBSVM["a1a"], sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(module.LIBSVM, "a1a", file)
    features, labels = libsvm("a1a")
    np.testing.assert_array_equal(features, [[0.5, 0, 2], [0, -1, 0]])
    np.testing.assert_array_equal(labels, [-1.0, 1.0])


@pytest.mark.slow
@pytest.mark.skipif("OPTKIT_DATA" not in os.environ, reason="needs OPTKIT_DATA, a folder with mnist/ and the others")
def test_the_published_files_are_what_they_are_said_to_be() -> None:
    for load, brightness in ((mnist, 0.1307), (fashion_mnist, 0.2860)):
        split = load()
        assert split.train_images.shape == (60_000, 1, 28, 28) and split.test_images.shape == (10_000, 1, 28, 28)
        assert split.train_images.dtype == np.float32 and split.classes == 10
        assert float(split.train_images.mean()) == pytest.approx(brightness, abs=1e-4)
    assert libsvm("a9a").features.shape == (32_561, 123) and libsvm("a9a.t").features.shape[0] == 16_281
    assert {"digits", "mnist", "fashion-mnist"} <= set(DATASETS)

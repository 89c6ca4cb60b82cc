"""What is kept of a run of the checks: results.json, report.html, report.md and the figures."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from optkit.registry import DataError
from optkit.theory_checks.running import Results

from . import markdown, page
from .record import record
from .summary import pictures

NAMES = ("results.json", "report.html", "report.md")
FIGURES = "figures"


@dataclass(frozen=True)
class Destination:
    """Where the report goes.

    folder: for the report in all forms, new, empty or with an earlier report in it;  document: a second place for the
    one in Markdown, or None; its figures go to figures/NAME/ beside NAME.md.
    """

    folder: Path
    document: Path | None = None

    def check(self) -> None:
        """Refuse, with a DataError, to write over anything but an earlier report."""
        if self.folder.exists() and not self.folder.is_dir():
            raise DataError(f"--out: {self.folder} is a file; name a folder, new or with an earlier report")
        own = {self.folder / name for name in NAMES} | {self.document} | set(self._earlier())
        foreign = sorted(path for path in self.folder.rglob("*") if not path.is_dir() and path not in own)
        if foreign:
            some = ", ".join(str(path.relative_to(self.folder)) for path in foreign[:3]) + ", ..." * (len(foreign) > 3)
            raise DataError(
                f"--out: {self.folder} holds files that are no earlier report: {some}; name another folder or move them"
            )
        _check_writable(self.folder, "--out")
        if self.document is not None:
            self._check_document(self.document)
            _check_writable(self.document, "--markdown")

    def write(self, results: Results) -> None:
        """Write the report, the numbers first; an earlier one and its figures are replaced."""
        earlier = self._earlier()
        self.folder.mkdir(parents=True, exist_ok=True)
        data = json.dumps(record(results), indent=1, allow_nan=False, ensure_ascii=False)
        (self.folder / "results.json").write_text(data + "\n", "utf-8")
        for path in earlier:
            path.unlink(missing_ok=True)
        images = {
            name: _png(picture.figure)
            for check in results.checks
            for name, picture in zip(pictures(results).get(check.name, []), check.pictures, strict=True)
        }
        _save(images, self.folder / FIGURES)
        (self.folder / "report.html").write_text(page.report(results, images), "utf-8")
        (self.folder / "report.md").write_text(markdown.report(results, FIGURES), "utf-8")
        if self.document is not None:
            folder = f"{FIGURES}/{self.document.stem}"
            _save(images, self.document.parent / folder)
            self.document.parent.mkdir(parents=True, exist_ok=True)
            self.document.write_text(markdown.report(results, folder), "utf-8")

    def _earlier(self) -> list[Path]:
        """The figures of an earlier report, as its results.json and the second document name them."""
        paths = []
        try:
            checks = json.loads((self.folder / "results.json").read_text("utf-8"))["checks"]
            names = [str(figure["file"]) for check in checks for figure in check["figures"]]
            paths += [self.folder / FIGURES / name for name in names if Path(name).name == name]
        except (OSError, ValueError, LookupError, TypeError):  # none, or no report: then nothing in the folder is known
            pass
        if self.document is not None and self.document.is_file():
            text, folder = self.document.read_text("utf-8"), f"{FIGURES}/{self.document.stem}"
            links = re.findall(rf"\]\({re.escape(folder)}/([\w.-]+\.png)\)", text)
            paths += [self.document.parent / folder / name for name in links]
        return paths

    @staticmethod
    def _check_document(path: Path) -> None:
        if path.suffix != ".md":
            raise DataError(f"--markdown: needs a file that ends in .md, got {path}")
        if path.is_dir():
            raise DataError(f"--markdown: {path} is a folder; name a file in it")
        if path.exists() and not path.read_text("utf-8", errors="replace").startswith(markdown.MARK):
            raise DataError(f"--markdown: {path} is no earlier report; name another file or move it")


def _check_writable(path: Path, key: str) -> None:
    """Refuse a path below something that is no folder, or in which this user may not write."""
    there = next(above for above in (path, *path.absolute().parents) if above.exists())
    if not os.access(there, os.W_OK) or not (there.is_dir() or there == path):
        raise DataError(f"{key}: can not write to {path}: {there} is no folder that you may change; name another place")


def _png(figure: Any) -> bytes:
    stream = BytesIO()
    figure.savefig(stream, format="png", dpi=144, facecolor="white")
    return stream.getvalue()


def _save(images: Mapping[str, bytes], folder: Path) -> None:
    for name, image in images.items():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(image)

"""What is kept of a run of the checks: results.json, report.html, report.md and the figures."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from optkit import registry
from optkit.registry import DataError

from . import markdown, page
from .findings import Finding
from .running import CheckResult, Results
from .settings import Settings
from .summary import cores, pictures, verdict, versions

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
        own = {self.folder / name for name in NAMES} | set(self._earlier())
        foreign = sorted(path for path in self.folder.rglob("*") if not path.is_dir() and path not in own)
        if foreign:
            some = ", ".join(str(path.relative_to(self.folder)) for path in foreign[:3]) + ", ..." * (len(foreign) > 3)
            raise DataError(
                f"--out: {self.folder} holds files that are no earlier report: {some}; name another folder or move them"
            )
        if self.document is not None:
            self._check_document(self.document)

    def write(self, results: Results) -> None:
        """Write the report; an earlier one and its figures are replaced."""
        images = {
            name: _png(picture.figure)
            for check in results.checks
            for name, picture in zip(pictures(results).get(check.name, []), check.pictures, strict=True)
        }
        for path in self._earlier():
            path.unlink(missing_ok=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        data = json.dumps(record(results), indent=1, allow_nan=False, ensure_ascii=False)
        (self.folder / "results.json").write_text(data + "\n", "utf-8")
        _save(images, self.folder / FIGURES)
        (self.folder / "report.html").write_text(page.report(results, images), "utf-8")
        (self.folder / "report.md").write_text(markdown.report(results, FIGURES), "utf-8")
        if self.document is not None:
            folder = f"{FIGURES}/{self.document.stem}"
            _save(images, self.document.parent / folder)
            self.document.write_text(markdown.report(results, folder), "utf-8")

    def _earlier(self) -> list[Path]:
        """The figures of an earlier report, as its results.json and the second document name them."""
        paths = []
        try:
            checks = json.loads((self.folder / "results.json").read_text("utf-8"))["checks"]
            paths += [self.folder / FIGURES / figure["file"] for check in checks for figure in check["figures"]]
        except (OSError, ValueError, LookupError, TypeError):  # none, or no report: then nothing in the folder is known
            pass
        if self.document is not None and self.document.is_file():
            text, folder = self.document.read_text("utf-8"), f"{FIGURES}/{self.document.stem}"
            links = re.findall(rf"\]\({re.escape(folder)}/([\w.-]+\.png)\)", text)
            paths += [self.document.parent / folder / name for name in links]
        return [path for path in paths if path.name == Path(path).name and ".." not in path.parts[-2:]]

    @staticmethod
    def _check_document(path: Path) -> None:
        if path.suffix != ".md":
            raise DataError(f"--markdown: needs a file that ends in .md, got {path}")
        if path.is_dir():
            raise DataError(f"--markdown: {path} is a folder; name a file in it")
        if path.exists() and not path.read_text("utf-8", errors="replace").startswith(markdown.MARK):
            raise DataError(f"--markdown: {path} is no earlier report; name another file or move it")


def record(results: Results) -> dict[str, Any]:
    """Everything that was measured, as plain data for JSON; NaN and infinities as the strings that float() reads."""
    files = pictures(results)
    return {
        "passed": results.passed,
        "settings": _settings(results.settings),
        "versions": versions(),
        "cores": cores(),
        "seconds": round(results.seconds, 3),
        "checks": [_check(check, files.get(check.name, [])) for check in results.checks],
    }


def _check(check: CheckResult, files: list[str]) -> dict[str, Any]:
    return {
        "name": check.name,
        "title": check.title,
        "verdict": verdict(check),
        "seconds": round(check.seconds, 3),
        "findings": [_finding(finding) for finding in check.findings],
        "figures": [
            {"file": file, "caption": picture.caption} for file, picture in zip(files, check.pictures, strict=True)
        ],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    values = {field.name: plain(getattr(finding, field.name)) for field in fields(finding)}
    numbers = values.pop("numbers")
    return {**values, "passed": finding.passed, "verdict": finding.verdict, "numbers": numbers}


def _settings(settings: Settings) -> dict[str, Any]:
    values: dict[str, Any] = {name: getattr(settings, name) for name in ("seeds", "steps", "workers", "smoke", "data")}
    values["method"] = None if settings.method is None else settings.method_name
    try:
        values["regularizer"] = plain(registry.to_data(settings.regularizer))
    except TypeError:  # a user's class that is no dataclass
        values["regularizer"] = repr(settings.regularizer)
    return values


def plain(value: Any) -> Any:
    """The value as JSON has it: numpy's numbers and arrays too, dataclasses as mappings, anything else in words."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((plain(item) for item in value), key=repr)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    return repr(value)


def _png(figure: Any) -> bytes:
    stream = BytesIO()
    figure.savefig(stream, format="png", dpi=144, facecolor="white")
    return stream.getvalue()


def _save(images: Mapping[str, bytes], folder: Path) -> None:
    for name, image in images.items():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(image)

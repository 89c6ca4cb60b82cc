"""What the command prints: a line a finding while it runs, a table at the end."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence

from optkit.theory_checks import CHECKS
from optkit.theory_checks.findings import Finding
from optkit.theory_checks.running import Results

from .summary import duration, headline, share, verdict

VERDICT = len("HOLDS, but must not")  # the longest
GAP = "  "


def line(finding: Finding) -> str:
    """The finding in one line: verdict, check, statement, measured."""
    verdict, check = f"{finding.verdict:<{VERDICT}}", f"{finding.check:<{max(map(len, CHECKS))}}"
    return " ".join(GAP.join([verdict, check, f"{finding.statement}: {finding.measured}"]).splitlines())


def table(results: Results, width: int | None = None) -> str:
    """All findings, the checks with their times, and whether all came out as it must; at most `width` columns (default:
    the terminal's) where that leaves enough for words."""
    width = width or max(shutil.get_terminal_size((140, 24)).columns, 80)
    findings = [(f.verdict, f.check, f.statement, f.measured) for f in results.findings]
    checks = [
        (verdict(c), c.name, share(c, control=False), share(c, control=True), duration(c.seconds))
        for c in results.checks
    ]
    return "\n\n".join(
        [
            _aligned(("verdict", "check", "statement", "measured"), findings, width),
            _aligned(("verdict", "check", "claims", "controls", "time"), checks, width),
            headline(results),
        ]
    )


def _aligned(header: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    """Columns of plain text; the last two are wrapped where the table would be wider than `width`."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    if sum(widths) + len(GAP) * (len(widths) - 1) > width:
        left = width - sum(widths[:-2]) - len(GAP) * (len(widths) - 1)
        first = max(min(widths[-2], left // 2), left - widths[-1])
        widths[-2:] = [max(first, 16), max(left - first, 16)]
    ruled = [header, ["-" * width for width in widths], *rows]
    return "\n".join(line for row in ruled for line in _row(row, widths))


def _row(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    columns = [textwrap.wrap(cell, width) or [""] for cell, width in zip(cells, widths, strict=True)]
    height = max(map(len, columns))
    padded = [column + [""] * (height - len(column)) for column in columns]
    return [
        GAP.join(text.ljust(width) for text, width in zip(texts, widths, strict=True)).rstrip()
        for texts in zip(*padded, strict=True)
    ]

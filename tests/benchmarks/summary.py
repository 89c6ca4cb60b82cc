"""Turns the measurements of `make bench` into Markdown:  python summary.py MEASUREMENTS.json PAGE.md"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

Result = dict[str, Any]  # the extra_info of one benchmark, and its median time in seconds
HIDDEN = {"power", "kind", "limit"}  # parameters of a case that stand in the table's title or in no table
TEXT = """\
# Time to a certificate

Written by `make bench`. The time until a subproblem solver finds a point with a subgradient of norm at most
1e-6 ||metric * anchor - linear||, up to rounding (5e-6 in float32), tested in every iteration. The entries of the
diagonal metric are log-uniform, the largest `condition` times the smallest in each group or matrix; the group lasso's
arrays have 294,912 entries and its solves start at 0. Each answer is checked in float64: its residual, and for the
group lasso its number of zero groups and its distance to the exact solution.

The first solver of a table has its time (the median of five solves; of one, where it takes more than a twentieth of the
iteration limit), its iterations in brackets, and its time in *copies* of one array of the same size, measured in the
same run. The others have their time divided by that. *Not reached*: the relative residual at the iteration limit.
"""


def report(data: dict[str, Any]) -> str:
    """The page, from the JSON of pytest-benchmark."""
    results = [entry["extra_info"] | {"time": entry["stats"]["median"]} for entry in data["benchmarks"]]
    copies = {(r["kind"], r["entries"]): r["time"] for r in results if r["table"] == "copies"}
    parts = [TEXT, *(f"* {name}: {value}" for name, value in data["machine_info"].items())]
    for title in dict.fromkeys(r["table"] for r in results if r["table"] != "copies"):
        rows = _rows([r for r in results if r["table"] == title])
        several = len(rows) > len({row[0]["case"]["condition"] for row in rows})
        parts += [f"\n## {title}\n", *([_overview(rows), ""] if several else []), _table(rows, copies)]
    return "\n".join(parts) + "\n"


def _rows(results: list[Result]) -> list[list[Result]]:
    """The results of each case side by side."""
    cases = {str(r["case"]): None for r in results}
    return [[r for r in results if str(r["case"]) == case] for case in cases]


def _table(rows: list[list[Result]], copies: dict[tuple[str, int], float]) -> str:
    """One line a case."""
    fields = [field for field in rows[0][0]["case"] if field not in HIDDEN]
    first, *others = (r["solver"] for r in rows[0])
    lines = []
    for base, *rest in rows:
        unit = copies[base["kind"], base["entries"]]
        own = [base["structure"], _cell(base, f"{1e3 * base['time']:,.1f} ms"), f"{base['time'] / unit:,.0f}"]
        ratios = [_cell(r, f"{r['time'] / base['time']:.1f} ×") for r in rest]
        lines.append([*(_plain(base["case"][field]) for field in fields), *own, *ratios])
    return _markdown([*fields, "solution", first, "copies", *others], lines)


def _overview(rows: list[list[Result]]) -> str:
    """One line a condition: the median of the ratios, and their range."""
    lines = []
    for condition in dict.fromkeys(row[0]["case"]["condition"] for row in rows):
        bases, *columns = zip(*(row for row in rows if row[0]["case"]["condition"] == condition), strict=True)
        lines.append([_plain(condition), *(_spread(bases, column) for column in columns)])
    first, *others = (r["solver"] for r in rows[0])
    return _markdown(["condition", *(f"{name} / {first}" for name in others)], lines)


def _spread(bases: tuple[Result, ...], column: tuple[Result, ...]) -> str:
    ratios = [r["time"] / base["time"] for base, r in zip(bases, column, strict=True) if r["converged"]]
    found = f"{median(ratios):.1f} × ({min(ratios):.1f} to {max(ratios):.1f})" if ratios else "not reached"
    return found if len(ratios) in (0, len(column)) else f"{found}, reached in {len(ratios)} of {len(column)}"


def _cell(r: Result, time: str) -> str:
    return f"{time} ({r['iterations']})" if r["converged"] else f"not reached: {r['residual']:.0e} ({r['iterations']})"


def _plain(value: Any) -> str:
    return " × ".join(map(str, value)) if isinstance(value, list) else f"{value:,.0f}" if value != str(value) else value


def _markdown(head: list[str], lines: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *lines])


if __name__ == "__main__":
    page = report(json.loads(Path(sys.argv[1]).read_text("utf-8")))
    Path(sys.argv[2]).write_text(page, "utf-8")
    print(page)

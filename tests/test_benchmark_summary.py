"""The page that `make bench` writes, from measurements made up by hand."""

from __future__ import annotations

from typing import Any

from .benchmarks.summary import report


def entry(time: float, **info: Any) -> dict[str, Any]:
    return {"stats": {"median": time}, "extra_info": {"kind": "numpy float64", "entries": 6, **info}}


def solve(time: float, solver: str, condition: float, size: int = 2, converged: bool = True) -> dict[str, Any]:
    case = {"size": size, "condition": condition, "zeros": 50, "kind": "numpy float64"}
    info = {"solver": solver, "case": case, "converged": converged, "iterations": 7, "residual": 0.02}
    return entry(time, table="GroupLasso", structure="1 of 3 groups zero", **info)


DATA = {
    "machine_info": {"cores": "2"},
    "benchmarks": [
        solve(0.01, "Fast", 1.0),
        solve(0.03, "Slow", 1.0),
        solve(0.01, "Fast", 1.0, size=3),
        solve(0.04, "Slow", 1.0, size=3),
        solve(0.02, "Fast", 1e4),
        solve(9.0, "Slow", 1e4, converged=False),
        entry(0.001, table="copies"),
    ],
}


def test_times_become_ratios_and_copies_and_a_limit_is_not_a_time() -> None:
    page = report(DATA)
    assert "* cores: 2\n" in page
    assert "| condition | Slow / Fast |\n| --- | --- |\n| 1 | 3.5 × (3.0 to 4.0) |\n| 10,000 | not reached |" in page
    assert "| 2 | 1 | 50 | 1 of 3 groups zero | 10.0 ms (7) | 10 | 3.0 × (7) |" in page
    assert "| 2 | 10,000 | 50 | 1 of 3 groups zero | 20.0 ms (7) | 20 | not reached: 2e-02 (7) |" in page

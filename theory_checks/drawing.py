"""The figures of the checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9")


def axes(title: str, x: str, y: str) -> tuple[Figure, Any]:
    """A figure with one pair of axes."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    ax = figure.subplots()
    ax.set(title=title, xlabel=x, ylabel=y)
    ax.grid(alpha=0.3)
    return figure, ax


def mismatch(title: str, runs: Mapping[str, Sequence[Any]]) -> Figure:
    """Wrong entries over steps: median and range over seeds of each method, the median T0 marked."""
    figure, ax = axes(title, "step", "entries off the limit's structure")
    for colour, (label, of_method) in zip(COLOURS, runs.items(), strict=False):
        steps, wrong = of_method[0].looks, np.array([run.mismatch for run in of_method])
        times = [run.t0 for run in of_method if run.t0 is not None]
        text = f"{label}: T0 {np.median(times):.0f}" if times else f"{label}: does not identify"
        ax.plot(steps, np.median(wrong, axis=0), color=colour, label=text)
        ax.fill_between(steps, wrong.min(axis=0), wrong.max(axis=0), color=colour, alpha=0.15, linewidth=0)
        if times:
            ax.axvline(np.median(times), color=colour, linestyle=":")
    ax.set_xscale("log")
    ax.set_yscale("symlog", linthresh=1)
    ax.set_ylim(bottom=0)
    ax.legend(fontsize="small")
    return figure


def times(title: str, runs: Mapping[str, Sequence[Sequence[int | None]]], names: Sequence[str], what: str) -> Figure:
    """T0 of every seed (a cross at the top where there is none) for each of the named settings."""
    figure, ax = axes(title, what, "T0")
    highest = max((t for of in runs.values() for seeds in of for t in seeds if t is not None), default=1)
    for i, (colour, (label, of_method)) in enumerate(zip(COLOURS, runs.items(), strict=False)):
        for place, seeds in enumerate(of_method):
            x = place + 0.25 * (i - (len(runs) - 1) / 2) + np.linspace(-0.08, 0.08, len(seeds))
            found = np.array([t is not None for t in seeds])
            y = np.array([2 * highest if t is None else t for t in seeds])
            ax.scatter(x[found], y[found], color=colour, s=14, label=label if place == 0 else None)
            ax.scatter(x[~found], y[~found], color=colour, s=24, marker="x")
    ax.scatter([], [], color="0.3", s=24, marker="x", label="does not identify")
    ax.set_yscale("log")
    ax.set_xticks(range(len(names)), names)
    ax.legend(fontsize="small")
    return figure


def powers(title: str, x: Sequence[float], runs: Mapping[str, Any], x_name: str, y_name: str) -> Figure:
    """y against x, every seed of each kind of run (thin), with the power of x fitted to their median."""
    figure, ax = axes(title, x_name, y_name)
    for colour, (label, of_method) in zip(COLOURS, runs.items(), strict=False):
        values = np.asarray(of_method, dtype=float)
        exponent, factor = np.polyfit(np.log(x), np.log(np.median(values, axis=0)), 1)
        ax.plot(x, values.T, color=colour, alpha=0.15, linewidth=0.7)
        ax.plot(x, np.exp(factor) * np.asarray(x) ** exponent, color=colour, label=f"{label}: exponent {exponent:.2f}")
    ax.set_xscale("log")
    ax.set_yscale("log")
    if len(x) < 10:  # a tick for each
        ax.set_xticks(x, [f"{value:g}" for value in x])
        ax.minorticks_off()
    ax.legend(fontsize="small")
    return figure

"""Tables and figures of an experiment."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import optkit
from optkit.experiment import Experiment, Record

HEADER = (
    "method",
    "accuracy %",
    "weighted group sparsity %",
    "its range in the last tenth of the epochs",
    "its highest",
    "optimizer's share of the time %",
)
TITLES = {
    "accuracy": "test accuracy, %",
    "sparsity": "weighted group sparsity, %",
    "changed": "weights whose group became zero or nonzero\nsince the epoch before, %",
}


def write(experiment: Experiment, records: Sequence[Record], folder: Path) -> None:
    """Write summary.md and curves.png into the folder."""
    (folder / "summary.md").write_text(_summary(experiment, records), encoding="utf-8")
    _curves(experiment, records, folder / "curves.png")


def table(experiment: Experiment, records: Sequence[Record]) -> str:
    """A Markdown table: one row a method, mean ± standard deviation over the seeds of the last epoch; the range and the
    highest value are over all seeds."""
    rows = [HEADER, *(_row(label, [r for r in records if r.method == label]) for label in experiment.methods)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADER))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def _row(label: str, records: Sequence[Record]) -> tuple[str, ...]:
    last = max(record.epoch for record in records)
    final = [record for record in records if record.epoch == last]
    sparsity = [100 * record.sparsity for record in records]
    late = [100 * record.sparsity for record in records if record.epoch > last - max(last // 10, 1)]
    share = sum(record.optimizer_seconds for record in records) / sum(record.seconds for record in records)
    return (
        label,
        _spread([100 * record.accuracy for record in final]),
        _spread([100 * record.sparsity for record in final]),
        f"{min(late):.1f} to {max(late):.1f}",
        f"{max(sparsity):.1f}",
        f"{100 * share:.0f}",
    )


def _spread(values: Sequence[float]) -> str:
    return f"{mean(values):.1f} ± {stdev(values):.1f}" if len(values) > 1 else f"{values[0]:.1f}"


def _summary(experiment: Experiment, records: Sequence[Record]) -> str:
    return f"""# {experiment.name}

{table(experiment, records)}

Mean ± standard deviation over the seeds {", ".join(map(str, experiment.seeds))} after {experiment.epochs} epochs.
Accuracy (on the test images) and sparsity are of the same weights: the structured ones, as saved under `weights/`.

![accuracy and sparsity over epochs](curves.png)

optkit {optkit.__version__}, torch {torch.__version__}, numpy {np.__version__}, Python {platform.python_version()},
{platform.machine()}, {os.cpu_count()} cores, one thread a run.
"""


def _curves(experiment: Experiment, records: Sequence[Record], path: Path) -> None:
    """Three panels over the epochs, a line for each run: what is right, what is zero, and what has not settled yet."""
    figure = Figure(figsize=(14, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels = dict(zip(("accuracy", "sparsity", "changed"), figure.subplots(1, 3), strict=True))
    for i, label in enumerate(experiment.methods):
        for j, seed in enumerate(experiment.seeds):
            run = sorted((r for r in records if (r.method, r.seed) == (label, seed)), key=lambda record: record.epoch)
            for name, axes in panels.items():
                percent = [100 * getattr(record, name) for record in run]
                line = {"color": f"C{i}", "alpha": 0.8, "linewidth": 1.2, "label": "" if j else label}
                axes.plot([record.epoch for record in run], percent, **line)
    for name, axes in panels.items():
        axes.set(xlabel="epoch", title=TITLES[name])
        axes.grid(alpha=0.3)
        for milestone in experiment.stages.milestones:
            axes.axvline(milestone + 0.5, color="0.6", linewidth=0.8, linestyle=":")
    settled = [record.accuracy for record in records if record.epoch > experiment.epochs // 3]
    panels["accuracy"].set_ylim(max(0.0, 100 * min(settled, default=0.0) - 5), 101)
    panels["sparsity"].set_ylim(-3, 103)
    seeds = len(experiment.seeds)
    handles, labels = panels["sparsity"].get_legend_handles_labels()
    figure.legend(handles, labels, title=f"{seeds} seed{'s' * (seeds > 1)} each", loc="outside right upper")
    panels["changed"].set_yscale("symlog", linthresh=0.1)
    panels["changed"].set_ylim(bottom=0)
    figure.savefig(path, dpi=120)

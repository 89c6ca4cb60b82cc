"""The command line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from optkit import __version__, registry
from optkit.bench import command as bench
from optkit.theory_checks import command as theory

if TYPE_CHECKING:
    from optkit.experiment import Experiment

_RUN = """\
Train a network by several methods, several seeds each, as a configuration says, and compare them: accuracy on test
images and weighted group sparsity of the weights one would ship, exact zeros and all.

CONFIG is the name of a configuration that comes with optkit ({shipped}) or the path of a YAML file. Everything goes
to OUT/NAME/:
  config.yaml     the complete configuration; `optkit run OUT/NAME/config.yaml --name AGAIN` does it again
  metrics.jsonl   a line for each epoch of each run
  weights/        the structured weights of each run (torch.load reads them)
  summary.md      the table
  curves.png      accuracy and sparsity over epochs
An interrupted command goes on where it was, run by run, when it is given again; a finished one prints its table.
"""

_EXAMPLES = """\
examples:
  optkit run digits
  optkit run digits --methods RAMDA AdamW --seeds 7 --epochs 30 --name quick
  optkit run my_experiment.yaml --workers 4
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 1 when a run failed, 2 for a mistake in what was asked."""
    options = _parser().parse_args(arguments)
    try:
        return options.command(options)
    except (registry.DataError, OSError) as error:
        print(f"optkit: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\noptkit: interrupted; give the command again to go on", file=sys.stderr)
        return 130


class _Parser(argparse.ArgumentParser):
    """Mistakes are told in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="optkit", description="Structured optimization: experiments from the command line.")
    parser.add_argument("--version", action="version", version=f"optkit {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="train networks by several methods and compare them",
        description=_RUN.format(shipped=", ".join(_shipped())),
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("config", metavar="CONFIG", help="a configuration's name, or the path of a YAML file")
    run.add_argument("--name", help="the folder under OUT (default: the configuration's name)")
    run.add_argument("--out", type=Path, default=Path("runs"), help="where runs are kept (default: runs)")
    run.add_argument("--epochs", type=int, help="train so many epochs instead, with the milestones moved to match")
    run.add_argument("--seeds", type=int, nargs="+", help="use these seeds instead")
    run.add_argument("--methods", nargs="+", metavar="LABEL", help="only these methods of the configuration")
    run.add_argument(
        "--workers", type=_positive, default=os.cpu_count() or 1, help="runs at a time (default: all cores)"
    )
    run.add_argument("--overwrite", action="store_true", help="begin anew where the folder holds a run")
    run.set_defaults(command=_run)
    for name, module, about in (
        ("theory", theory, "test the theorems on runs"),
        ("bench", bench, "time the optimizers and the solvers"),
    ):
        module.configure(commands.add_parser(name, help=about, formatter_class=argparse.RawDescriptionHelpFormatter))
    return parser


def _run(options: argparse.Namespace) -> int:
    from optkit import report  # these import torch, which --help need not wait for
    from optkit.experiment import load
    from optkit.runs import Run, RunError

    experiment = _override(load(_find(options.config)), options)
    run = Run(experiment, options.out / experiment.name)
    try:
        records = run.execute(options.workers, options.overwrite)
    except RunError as error:
        print(f"optkit: {error}", file=sys.stderr)
        return 1
    print(f"\n{report.table(experiment, records)}\n")
    print(
        f"figures: {run.folder / 'curves.png'}  summary: {run.folder / 'summary.md'}  weights: {run.folder / 'weights'}"
    )
    return 0


def _override(experiment: Experiment, options: argparse.Namespace) -> Experiment:
    """The experiment with what the command line says instead."""
    changes = {key: getattr(options, key) for key in ("name", "epochs") if getattr(options, key) is not None}
    if options.epochs is not None:
        moved = {milestone * options.epochs // experiment.epochs for milestone in experiment.stages.milestones}
        changes["stages"] = replace(experiment.stages, milestones=tuple(sorted(moved - {0})))
    if options.seeds:
        changes["seeds"] = tuple(options.seeds)
    for label in options.methods or ():
        if label not in experiment.methods:
            raise registry.DataError(f"--methods: got {label!r}; {registry.allowed(label, experiment.methods)}")
    if options.methods:
        changes["methods"] = {label: experiment.methods[label] for label in options.methods}
    try:
        return replace(experiment, **changes)
    except ValueError as error:
        raise registry.DataError(str(error)) from error


def _find(config: str) -> Path:
    """The path of a configuration."""
    shipped = _shipped()
    if config in shipped:
        return shipped[config]
    if not Path(config).is_file():
        raise FileNotFoundError(
            f"there is no configuration and no file {config!r}; {registry.allowed(config, shipped)}"
        )
    return Path(config)


def _shipped() -> dict[str, Path]:
    """The configurations in optkit.problems by name."""
    folder = Path(str(files("optkit.problems"))) / "configs"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value

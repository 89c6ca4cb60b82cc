"""The command `optkit theory`: its options, and what it does with them."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optkit import registry

from . import CHECKS

if TYPE_CHECKING:
    from .findings import Finding
    from .settings import Settings

_DESCRIPTION = """\
Test the theorems on runs: assumptions, bounds and conclusions, each with controls that have to fail. A line for each
finding while it runs, a table at the end, and in DIR:
  report.html     the report in one file: what is tested, the verdicts, figures
  report.md       the same in Markdown, with figures/
  results.json    every number
Exit status 0: every claim was seen to hold and every control to fail. 1: not so. 2: a mistake in what was asked.
"""

_EXAMPLES = """\
checks:
{checks}

examples:
  optkit theory --smoke
  optkit theory identification --method my_module:my_method
  optkit theory identification variance_reduction --method '{{name: ramda, lr: 0.05}}' --seeds 10
  optkit theory identification --regularizer '{{name: GroupLasso, strength: 0.2, axes: [1]}}'
"""

SMOKE = {"seeds": 6, "steps": 1000}
FULL = {"seeds": 20, "steps": 2000}
LEAST = SMOKE
"""Fewer seeds and shorter runs decide nothing: intervals are too wide, and transients are not over."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options of this command."""
    parser.description = _DESCRIPTION
    parser.epilog = _EXAMPLES.format(checks=_list())
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="checks to run (default: all)")
    add("--list", action="store_true", help="print the checks and their titles")
    add("--smoke", action="store_true", help="{seeds} seeds of {steps} steps, and fewer kinds of runs".format(**SMOKE))
    for name, what in (("seeds", "runs of each kind"), ("steps", "steps of each run")):
        add(f"--{name}", type=int, metavar="N", help=f"{what} (default: {FULL[name]}, at least {LEAST[name]})")
    add("--workers", type=int, metavar="N", help="runs at a time (default: all cores)")
    sets = ("digits", "a9a", "mnist")
    add("--data", choices=sets, nargs="+", default=["digits"], help="real data to test on, too (default: digits)")
    add(
        "--method",
        metavar="METHOD",
        help="test this in the place of RAMDA and RMDA: a name from optkit.algorithms, MODULE:FUNCTION, called as "
        "function(psi), or '{name: either, lr: 0.05, ...}' with more arguments",
    )
    add(
        "--regularizer",
        metavar="PSI",
        help="test with this in the place of all structures: '{name: CLASS, strength: 0.2, ...}' with a class from "
        "optkit.regularizers or MODULE:CLASS; either alone takes strength 0.2, and rows as groups",
    )
    default = Path("runs/theory")
    add("--out", type=Path, metavar="DIR", default=default, help=f"where the report goes (default: {default})")
    add("--markdown", type=Path, metavar="FILE", help="the report also as this .md, figures in figures/ beside it")
    parser.set_defaults(command=execute)


def execute(options: argparse.Namespace) -> int:
    """Run the checks as the options say; returns the exit status. Raises DataError for a mistake in the options."""
    if options.list:
        print(_list())
        return 0
    for name in options.names:
        if name not in CHECKS:
            raise registry.DataError(f"there is no check {name!r}; {registry.allowed(name, CHECKS)}")
    from .reporting import terminal  # these import what the help need not wait for
    from .reporting.report import Destination
    from .running import run

    destination = Destination(options.out, options.markdown)
    destination.check()
    settings = _settings(options)
    try:
        results = run(options.names or None, settings, _tell)
    except KeyboardInterrupt:
        print("\noptkit theory: interrupted; no report was written", file=sys.stderr)
        return 130
    destination.write(results)
    print(
        f"\n{terminal.table(results)}\n\nreport: {options.out / 'report.html'}  numbers: {options.out / 'results.json'}"
    )
    return 0 if results.passed else 1


def _tell(finding: Finding) -> None:
    """Print the finding beside the progress bar, not through it."""
    from tqdm import tqdm

    from .reporting.terminal import line

    tqdm.write(line(finding), file=sys.stdout)
    sys.stdout.flush()


def _settings(options: argparse.Namespace) -> Settings:
    """The settings, with method and regularizer found and tried."""
    from joblib import cpu_count

    from . import reading
    from .settings import Settings

    amount: dict[str, Any] = dict(SMOKE if options.smoke else FULL, workers=cpu_count())
    amount |= {name: getattr(options, name) for name in amount if getattr(options, name) is not None}
    for name, least in LEAST.items():
        if amount[name] < least:
            raise registry.DataError(f"--{name}: {amount[name]} decide nothing; give at least {least}")
    try:
        settings = Settings(**amount, smoke=options.smoke, data=tuple(options.data))
    except ValueError as error:
        raise registry.DataError(f"--{error}") from error
    psi = None if options.regularizer is None else reading.regularizer(options.regularizer)
    method, label = (None, "method") if options.method is None else reading.method(options.method, psi)
    reading.data(options.data)
    return replace(settings, regularizer=psi, method=method, method_name=label)


def _list() -> str:
    width = max(map(len, CHECKS))
    return "\n".join(f"  {name:<{width}}  {title}" for name, title in CHECKS.items())

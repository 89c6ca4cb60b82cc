"""The command `optkit bench`: its options, and what it does with them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from optkit import registry

from . import TABLES
from .lists import LISTS

BUSY = 0.5  # processes that run when nothing is measured yet

_BUSY = """\
optkit bench: this machine is busy (load {:.1f}); threads that wait for each other, as those of AdamW do, then lose the
most, and ratios mislead
"""
_DESCRIPTION = """\
Time the optimizers beside torch.optim.AdamW, fused and foreach, on the parameters of real networks, and the subproblem
solvers beside each other. Ratios are of medians over rounds in which all take turns in one process. Prints each table
when it is measured.
"""

_EXAMPLES = """\
lists:
{lists}

tables:
{tables}

examples:
  optkit bench --quick
  optkit bench --tables steps --list resnet50 --optimizers RAMDA ProxGen
  optkit bench --tables published --list resnet50 --reference ../ramda_exp
  optkit bench --device cuda --markdown benchmarks-cuda.md
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options of this command."""
    parser.description = _DESCRIPTION
    lists = {name: (function.__doc__ or "").strip().splitlines()[0] for name, function in LISTS.items()}
    parser.epilog = _EXAMPLES.format(lists=_described(lists), tables=_described(TABLES))
    add = parser.add_argument
    add("--list", nargs="+", metavar="NAME", dest="lists", help="lists of parameters (default: all; --quick: tiny)")
    add("--optimizers", nargs="+", metavar="NAME", help="optimizers beside AdamW (default: all)")
    add("--tables", nargs="+", metavar="NAME", help="what to measure (default: all)")
    add("--device", choices=("cpu", "cuda"), default="cpu", help="where (default: cpu)")
    add("--kernel", default="auto", metavar="NAME", help="which kernel takes optkit's steps (default: auto)")
    add("--threads", type=int, metavar="N", help="threads of torch and of the kernels (default: torch's own choice)")
    add("--rounds", type=int, metavar="N", help="timed rounds, at least 3 (default: 15)")
    add("--quick", action="store_true", help="everything small and few rounds: to see that it works, in a minute")
    add(
        "--reference",
        type=Path,
        nargs="+",
        metavar="DIR",
        default=[],
        help="checkouts of published implementations to time, too: ismoptgroup/ramda_exp, ismoptgroup/RAMDA, "
        "tristandeleu/pytorch-structured-sparsity; their code is run",
    )
    add("--markdown", type=Path, metavar="FILE", help="the tables as a page")
    parser.set_defaults(command=execute)


def execute(options: argparse.Namespace) -> int:
    """Measure as the options say; returns the exit status. Raises DataError for a mistake in the options."""
    if options.threads is not None and options.threads < 1:
        raise registry.DataError(f"--threads must be at least 1, got {options.threads}")
    with _threads(options.threads):
        return _execute(options)


def _execute(options: argparse.Namespace) -> int:
    from . import measure  # these import torch, which --help need not wait for
    from .asked import settings as asked
    from .page import load, page, told_once

    settings = asked(options)
    before, measured = load(), []
    if before > BUSY:
        print(_BUSY.format(before), file=sys.stderr)
    try:
        for table in told_once(measure(settings)):
            print(f"{table.markdown()}\n", flush=True)
            measured.append(table)
    except KeyboardInterrupt:
        print("\noptkit bench: interrupted; no page was written", file=sys.stderr)
        return 130
    if options.markdown is not None:
        options.markdown.write_text(page(measured, settings, _given(options), before), "utf-8")
        print(f"page: {options.markdown}")
    return 0


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """torch, and the kernels with it, with so many threads; None changes nothing."""
    if count is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _given(options: argparse.Namespace) -> str:
    """The command that writes the same page."""
    words = ["optkit", "bench"]
    for key, option in {"lists": "list", "optimizers": "optimizers", "tables": "tables"}.items():
        words += [f"--{option}", *getattr(options, key)] if getattr(options, key) else []
    for key in ("device", "kernel", "threads", "rounds"):
        if getattr(options, key) not in (None, "auto", "cpu"):
            words += [f"--{key}", str(getattr(options, key))]
    words += ["--quick"] if options.quick else []
    words += ["--reference", *(folder.resolve().name for folder in options.reference)] if options.reference else []
    return " ".join([*words, "--markdown", options.markdown.name])


def _described(texts: Mapping[str, str]) -> str:
    width = max(map(len, texts))
    return "\n".join(f"  {name:<{width}}  {text}" for name, text in texts.items())

"""From the options of the command to settings, with every mistake told before anything runs."""

from __future__ import annotations

import argparse

import torch

from optkit import registry

from . import TABLES
from .checkout import home
from .contestants import make
from .lists import LISTS
from .settings import OPTIMIZERS, Settings
from .timing import Effort


def settings(options: argparse.Namespace) -> Settings:
    """What is asked for, checked before anything runs. Raises DataError for a mistake."""
    names = {"lists": ("list", LISTS), "optimizers": ("optimizers", OPTIMIZERS), "tables": ("tables", TABLES)}
    for key, (option, known) in names.items():
        for name in getattr(options, key) or ():
            if name not in known:
                raise registry.DataError(f"--{option}: got {name!r}; {registry.allowed(name, known)}")
    if options.rounds is not None and options.rounds < 3:
        raise registry.DataError(f"--rounds must be at least 3, got {options.rounds}")
    _check_device(options.device)
    _check_kernel(options.kernel)
    _check_files(options)
    return _made(options)


def _made(options: argparse.Namespace) -> Settings:
    standard = Effort(warmup=2, rounds=3, seconds=0.5) if options.quick else Effort()
    effort = Effort(standard.warmup, options.rounds or standard.rounds, standard.seconds)
    return Settings(
        tables=tuple(options.tables or TABLES),
        lists=tuple(options.lists or (("tiny",) if options.quick else LISTS)),
        optimizers=tuple(options.optimizers or OPTIMIZERS),
        device=options.device,
        kernel=options.kernel,
        references=tuple(options.reference),
        quick=options.quick,
        effort=effort,
    )


def _check_device(device: str) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        raise registry.DataError("--device cuda: torch finds no CUDA device here; see torch.cuda.is_available()")


def _check_kernel(kernel: str) -> None:
    try:
        make("RAMDA", [{"params": [torch.zeros(1)]}], kernel)
    except ValueError as error:
        raise registry.DataError(f"--kernel: {error}") from error


def _check_files(options: argparse.Namespace) -> None:
    for folder in options.reference:
        home(folder)
    if "published" in (options.tables or ()) and not options.reference:
        raise registry.DataError("--tables published needs --reference DIR, a checkout of a published implementation")
    if options.reference and options.device != "cpu":
        raise registry.DataError("--reference: published implementations are timed on the CPU; leave --device cuda out")
    if options.markdown is not None and not options.markdown.resolve().parent.is_dir():
        raise registry.DataError(f"--markdown: there is no folder {options.markdown.resolve().parent}")

"""Every public name says what it promises: docstrings, each hyper-parameter in them, and the paper behind each part."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from types import ModuleType
from typing import Any

import pytest

import optkit.torch
from optkit import registry
from optkit.algorithms import named
from optkit.torch import MethodOptimizer

MODULES = [
    importlib.import_module(f"optkit{name}")
    for name in (
        "",
        ".algorithms",
        ".algorithms.named",
        ".core",
        ".minimize",
        ".regularizers",
        ".registry",
        ".solvers",
        ".structure",
        ".torch",
        ".validate",
    )
]


def public(module: ModuleType) -> dict[str, Any]:
    """The classes and functions that the module offers: those of __all__, else those defined in it, by full name."""
    offered = getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")])
    named = {name: getattr(module, name) for name in offered}
    return {
        f"{value.__module__}.{name}": value
        for name, value in named.items()
        if (inspect.isclass(value) or inspect.isfunction(value))
        and (hasattr(module, "__all__") or value.__module__ == module.__name__)
        and value.__module__.startswith("optkit")
    }


NAMES = {name: value for module in MODULES for name, value in public(module).items()}
CLASSES = {name: value for name, value in NAMES.items() if inspect.isclass(value)}


def own_text(value: Any) -> str:
    """The docstring written for the value itself, without those that Python makes up: signatures and `Alias for`."""
    text = value.__doc__ or ""
    generated = inspect.isclass(value) and text.startswith((f"{value.__name__}(", "An enumeration"))
    return "" if generated else text.strip()


def ancestors(cls: type) -> list[type]:
    return [base for base in cls.__mro__[1:] if base is not object]


def full_text(cls: type) -> str:
    """The class docstrings of the class and of those of ours that it inherits from."""
    return "\n".join(own_text(c) for c in (cls, *ancestors(cls)) if c.__module__.startswith("optkit"))


def methods(cls: type) -> Iterator[tuple[str, Any]]:
    """The public methods and properties that the class itself defines."""
    for name, member in vars(cls).items():
        if not name.startswith("_") and isinstance(member, (staticmethod, classmethod, property)):
            yield name, member.fget if isinstance(member, property) else member.__func__
        elif not name.startswith("_") and inspect.isfunction(member):
            yield name, member


def documented_above(cls: type, name: str) -> bool:
    return any((getattr(vars(base).get(name), "__doc__", None) or "").strip() for base in ancestors(cls))


# --- docstrings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_a_module_has_a_docstring(module: ModuleType) -> None:
    assert (module.__doc__ or "").strip()


@pytest.mark.parametrize("value", NAMES.values(), ids=NAMES)
def test_a_public_name_has_a_docstring(value: Any) -> None:
    assert own_text(value), f"{value.__module__}.{value.__qualname__} has no docstring of its own"


@pytest.mark.parametrize("cls", CLASSES.values(), ids=CLASSES)
def test_a_public_method_has_a_docstring_or_overrides_one_that_has(cls: type) -> None:
    silent = [name for name, method in methods(cls) if not (method.__doc__ or documented_above(cls, name))]
    assert not silent, f"{cls.__qualname__}: no docstring for {', '.join(silent)}"


# --- hyper-parameters -------------------------------------------------------------------------------------------------


def missing(names: list[str], text: str) -> list[str]:
    return [name for name in names if not re.search(rf"\b{re.escape(name)}\b", text)]


VALUES = {name: cls for name, cls in CLASSES.items() if is_dataclass(cls) and fields(cls)}


@pytest.mark.parametrize("cls", VALUES.values(), ids=VALUES)
def test_a_class_describes_each_of_its_fields(cls: Any) -> None:
    silent = missing([field.name for field in fields(cls)], full_text(cls))
    assert not silent, f"the docstring of {cls.__qualname__} says nothing about {', '.join(silent)}"


# --- references -------------------------------------------------------------------------------------------------------

COMPONENTS = [item for kind in registry.KINDS for item in registry.components(kind).items()]
PARTS = {name: part for name, part in COMPONENTS if ":" not in name}  # those of optkit, not of other tests
NAMED = {name: value for name, value in vars(named).items() if value in NAMES.values() and inspect.isfunction(value)}
OPTIMIZERS = {name: getattr(optkit.torch, name) for name in optkit.torch.__all__}
OPTIMIZERS = {
    name: value for name, value in OPTIMIZERS.items() if inspect.isclass(value) and value is not MethodOptimizer
}
FROM_PAPERS = {**PARTS, **NAMED, **{f"torch.{name}": value for name, value in OPTIMIZERS.items()}}

# What no paper is behind, and why.
OWN = {
    "Zero": "the zero function",
    "Automatic": "a choice among other solvers",
    "ClosedForm": "the definition of the proximal map",
    "FixedIterations": "a count",
    "Constant": "a constant",
    "ConstantAveraging": "a constant",
    "ConstantWeighting": "a constant",
    "MovingAverage": "an exponential moving average",
    "torch.StageScheduler": "the front end of Stages, whose reference it points to",
}


@pytest.mark.parametrize("name", FROM_PAPERS)
def test_a_part_names_its_paper_and_the_year_or_is_our_own(name: str) -> None:
    reference = re.search(r"^\s*Reference: (.+)", own_text(FROM_PAPERS[name]), re.MULTILINE | re.DOTALL)
    if name in OWN:
        assert reference is None, f"{name} has a reference: take it off the list"
    else:
        assert reference, f"{name} says not whose idea it is: add `Reference: authors, title, year`"
        assert re.search(r"\b(19|20)\d\d\b", reference[1]), f"the reference of {name} has no year: {reference[1]}"


def test_the_list_of_what_is_our_own_is_not_out_of_date() -> None:
    assert OWN.keys() <= FROM_PAPERS.keys()


ARGUMENTS_ELSEWHERE = {"adamw": "the arguments are those of torch.optim.AdamW, and it says so"}


@pytest.mark.parametrize("name", sorted(NAMED.keys() - ARGUMENTS_ELSEWHERE.keys()))
def test_a_named_method_describes_each_of_its_arguments(name: str) -> None:
    """What they have in common is described once, in the docstring of their module."""
    function = NAMED[name]
    silent = missing([*inspect.signature(function).parameters], f"{function.__doc__}\n{named.__doc__}")
    assert not silent, f"the docstring of {name} says nothing about {', '.join(silent)}"

"""The method and the regularizer that a user names on the command line, tried on a small problem before all checks."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from optkit import minimize, registry
from optkit.algorithms import ProximalMethod
from optkit.core import ConvergenceWarning, Regularizer
from optkit.problems.datasets import libsvm, mnist
from optkit.registry import DataError

from .cases import Case, given_case, group_case

ALONE = {"strength": 0.2, "axes": 1}
"""Those arguments of a regularizer that is given by its name alone: `strength`, and the axes of groups."""


@dataclass(frozen=True)
class Given:
    """What a user wrote: the name of a part or of a method, and its other arguments, None where there are none."""

    name: str
    arguments: Mapping[str, Any] | None

    @property
    def label(self) -> str:
        """The name without its module, and the arguments."""
        last = self.name.rpartition(":")[2]
        return last + (f"({', '.join(f'{k}={v}' for k, v in self.arguments.items())})" if self.arguments else "")


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, reading 1e-4 as a number."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), [*"-+0123456789"]
)


def read(text: str, key: str) -> Given:
    """A name, or a mapping with the name under `name`."""
    try:
        data = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise DataError(f"{key}: not valid YAML: {_line(error)}") from error
    if isinstance(data, str):
        return Given(data, None)
    if isinstance(data, dict) and isinstance(data.get("name"), str) and all(isinstance(name, str) for name in data):
        return Given(data["name"], {name: value for name, value in data.items() if name != "name"})
    raise DataError(f"{key}: needs a name, MODULE:NAME or a mapping like '{{name: NAME, ...}}', got {text!r}")


def regularizer(text: str, key: str = "--regularizer") -> Regularizer:
    """The regularizer, which fits a made-up problem. Raises DataError, one line, for anything wrong."""
    given = read(text, key)
    make = _find(given.name, registry.components(Regularizer), "regularizer", "MODULE:CLASS", key)
    arguments = _alone(make, given, key) if given.arguments is None else given.arguments
    psi = _tried(f"{key}: {given.name}", lambda: registry.call(make, arguments, key))
    if not isinstance(psi, Regularizer):
        raise DataError(
            f"{key}: {given.name} gives a {type(psi).__name__}; it must be a class derived from Regularizer"
        )
    _tried(f"{key}: {given.name}", lambda: given_case(psi))
    return psi


def _alone(make: Callable[..., Any], given: Given, key: str) -> dict[str, Any]:
    """The arguments of a regularizer that is given by its name alone."""
    parameters = inspect.signature(make).parameters
    needed = [name for name, parameter in parameters.items() if parameter.default is inspect.Parameter.empty]
    if set(needed) <= set(ALONE):
        return {name: value for name, value in ALONE.items() if name in parameters}
    example = ", ".join(f"{name}: ..." for name in needed)
    raise DataError(f"{key}: {given.name} needs {', '.join(needed)}; write '{{name: {given.name}, {example}}}'")


def method(text: str, psi: Regularizer | None, key: str = "--method") -> tuple[Callable[..., ProximalMethod], str]:
    """The method as a function of psi, and its name for tables, after one step with this psi (None: a group lasso) on a
    made-up problem. Raises DataError, one line, for anything wrong."""
    given = read(text, key)
    named = {name: make for name, make in registry.methods().items() if "psi" in inspect.signature(make).parameters}
    make = _find(given.name, named, "method", "MODULE:FUNCTION", key)
    function = partial(make, **_arguments(make, given.arguments, key)) if given.arguments else make
    case = (None if psi is None else given_case(psi)) or group_case()
    _tried(f"{key}: {given.name}", lambda: _try_method(function, case))
    return function, given.label


def _arguments(make: Callable[..., Any], data: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The arguments besides psi, checked by their types where the function names them all."""
    parameters = list(inspect.signature(make).parameters.values())
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        return dict(data)
    read = registry.read_arguments(make, data, key, given=(parameters[0].name,) if parameters else ())
    return {name: read[name] for name in data}


def _try_method(function: Callable[..., Any], case: Case) -> None:
    made = function(case.psi)
    if not isinstance(made, ProximalMethod):
        raise TypeError(f"it must return a ProximalMethod, returned {made!r} of type {type(made).__name__}")
    if made.psi is not case.psi:
        raise ValueError(f"called with {case.psi}, it returned a method with psi={made.psi}; it must pass its psi on")
    if made.lr == 0:
        raise ValueError("its lr must be > 0, got 0: it does not move")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        minimize(case.problem, made, steps=1)


def data(names: Iterable[str]) -> None:
    """Fetch the data that a check may need. Raises DataError, one line, where they can not be had."""
    sources: dict[str, Callable[[], Any]] = {"a9a": lambda: libsvm("a9a"), "mnist": mnist}
    for name in names:
        if name in sources:
            _tried(f"--data: {name}", sources[name])


def _find(name: str, known: Mapping[str, Any], what: str, form: str, key: str) -> Callable[..., Any]:
    """What has this name, or lies at MODULE:NAME."""
    if name in known:
        return known[name]
    if ":" not in name:
        raise DataError(f"{key}: there is no {what} {name!r}; {registry.allowed(name, known)}, or {form}")
    where, _, attribute = name.partition(":")
    value = getattr(_module(where, key, form), attribute, None)
    if not callable(value):
        names = [name for name, value in vars(sys.modules[where]).items() if callable(value) and name[0] != "_"]
        raise DataError(f"{key}: {where} has no function or class {attribute!r}; {registry.allowed(attribute, names)}")
    return value


def _module(name: str, key: str, form: str) -> Any:
    """The module of a user: installed, on PYTHONPATH or in the folder where the command was given."""
    if str(Path.cwd()) not in sys.path and "" not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:  # whatever a module may raise when it is imported
        remedy = f"give {form} with a module that is installed, on PYTHONPATH or in {Path.cwd()}"
        raise DataError(f"{key}: can not import {name!r}: {type(error).__name__}: {_line(error)}; {remedy}") from error


def _tried(what: str, action: Callable[[], Any]) -> Any:
    """What the action returns; whatever it raises becomes a DataError of one line."""
    try:
        return action()
    except DataError:
        raise
    except Exception as error:
        kind = "" if isinstance(error, (TypeError, ValueError)) else f"{type(error).__name__}: "
        raise DataError(f"{what}: {kind}{_line(error)}") from error


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())

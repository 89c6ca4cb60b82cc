"""Parts as plain data and back: how YAML files and torch parameter groups name and check them.

A part is written as a mapping with its class under `name` and its fields beside it:
`{name: GroupLasso, strength: 1.0e-4, axes: [0]}`. What is read is checked against the types of the fields.

Plug-ins are parts and named methods that other distributions declare by entry points. They are read once a process,
when names are first needed.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import types
import typing
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, Union

from optkit.core import (
    Averaging,
    GradientEstimator,
    Preconditioner,
    Regularizer,
    StoppingRule,
    SubproblemSolver,
    Weighting,
)

KINDS: dict[type, str] = {
    Regularizer: "optkit.regularizers",
    SubproblemSolver: "optkit.solvers",
    StoppingRule: "optkit.solvers",
    Averaging: "optkit.algorithms",
    GradientEstimator: "optkit.algorithms",
    Preconditioner: "optkit.algorithms",
    Weighting: "optkit.algorithms",
}
"""The package whose public names hold the parts of each kind."""

METHODS = "optkit.algorithms"
"""The package whose public names hold the named methods, and the group of entry points that declare others."""

GROUPS: dict[type, str] = {**KINDS, Preconditioner: "optkit.preconditioners"}
"""The group of entry points that declare the plug-ins of each kind."""


class DataError(ValueError):
    """Plain data that does not describe a part; the message is one line: key, what was given, what is allowed."""


def components(kind: type) -> dict[str, type]:
    """The parts of a kind (a class of optkit.core) by name: those of optkit, plug-ins by the names of their entry
    points, and others that are imported as MODULE:CLASS. Warns once of each plug-in that can not be used."""
    importlib.import_module(KINDS[kind])  # defines the parts that come with optkit
    plugins = {name: part for name, part in _plugins(GROUPS[kind]).items() if _is_part(kind, part)}
    return {_name_of(kind, part): part for part in _subclasses(kind) if _is_part(kind, part)} | plugins


def _subclasses(kind: type) -> Iterator[type]:
    subclasses: list[type] = kind.__subclasses__()
    for part in subclasses:
        yield part
        yield from _subclasses(part)


def _is_part(kind: type, value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, kind) and not inspect.isabstract(value)


def _name_of(kind: type, part: type) -> str:
    if getattr(importlib.import_module(KINDS[kind]), part.__name__, None) is part:
        return part.__name__
    names = (name for name, plugin in _plugins(GROUPS[kind]).items() if plugin is part)
    return next(names, f"{part.__module__}:{part.__qualname__}")


def methods() -> dict[str, Callable[..., Any]]:
    """The named methods by name: those of optkit.algorithms, and plug-ins. Warns as `components`."""
    module = importlib.import_module(METHODS)
    values = {**_plugins(METHODS), **{name: getattr(module, name) for name in module.__all__}}
    return {name: value for name, value in values.items() if _is_method(value)}


def _is_method(value: Any) -> bool:
    method = importlib.import_module(METHODS).ProximalMethod
    return inspect.isfunction(value) and typing.get_type_hints(value).get("return") is method


@cache
def _plugins(group: str) -> dict[str, Any]:
    """The parts and methods that the entry points of a group declare, by name; warns of each that is left out."""
    found: dict[str, Any] = {}
    for entry in sorted(entry_points(group=group)):
        try:
            found[entry.name] = _load(entry, found)
        except DataError as error:
            origin = entry.dist.name if entry.dist else "an unknown distribution"
            plugin, reason = f"{entry.name} = {entry.value} ({group}) of {origin}", " ".join(str(error).split())
            warnings.warn(f"the plug-in {plugin} is left out: {reason}", stacklevel=2)
    return found


def _load(entry: EntryPoint, found: Mapping[str, Any]) -> Any:
    """What the entry point declares; raises DataError where that is of no use in its group or under its name."""
    home = next(KINDS[kind] for kind, group in GROUPS.items() if group == entry.group)
    if entry.name in importlib.import_module(home).__all__:
        raise DataError(f"{home}.{entry.name} has this name; rename the plug-in")
    if other := found.get(entry.name):
        raise DataError(f"{other.__module__}:{other.__qualname__} has this name; rename one of them or uninstall it")
    try:
        value = entry.load()
        groups = _groups_of(value)
    except (Exception, SystemExit) as error:  # whatever a module may raise when it is imported
        raise DataError(f"{type(error).__name__}: {error}; mend its distribution or uninstall it") from error
    if entry.group not in groups:
        raise DataError(f"declare it in the group {groups[0]}" if groups else _misfit(value, entry.group))
    return value


def _groups_of(value: Any) -> list[str]:
    """The groups in which the value may be declared."""
    return [group for kind, group in GROUPS.items() if _is_part(kind, value)] + [METHODS] * _is_method(value)


def _misfit(value: Any, group: str) -> str:
    """Why a value of no group does not belong to this one."""
    if lacking := getattr(value, "__abstractmethods__", None):
        return f"it is abstract; define {', '.join(sorted(lacking))}"
    kinds = " or ".join(kind.__name__ for kind, home in GROUPS.items() if home == group)
    method = ", nor a function annotated to return a ProximalMethod" if group == METHODS else ""
    return f"it is no class derived from {kinds}{method}"


def to_data(value: Any) -> Any:
    """The value as plain data: parts become mappings, tuples and arrays in parts lists; numbers, strings, None stay.
    Raises TypeError for anything else."""
    if hasattr(value, "to_data"):
        return value.to_data()
    if is_dataclass(value) and not isinstance(value, type):
        values = {field.name: getattr(value, field.name) for field in fields(value)}
        data = {name: item.tolist() if hasattr(item, "tolist") else to_data(item) for name, item in values.items()}
        kinds = [kind for kind in KINDS if isinstance(value, kind)]
        return {"name": _name_of(kinds[0], type(value)), **data} if kinds else data
    if isinstance(value, (tuple, list)):
        return [to_data(item) for item in value]
    if isinstance(value, Mapping):
        return {key: to_data(item) for key, item in value.items()}
    if value is None:
        return None
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)  # numpy's float64 is a float, but not plain
    remedy = "; make it a frozen dataclass" if isinstance(value, tuple(KINDS)) else ""
    raise TypeError(f"{value!r} of type {type(value).__name__} can not be written as plain data{remedy}")


def from_data(hint: Any, data: Any, key: str) -> Any:
    """The value of type `hint` that the data describes; raises DataError naming `key` and what lies below it."""
    origin = typing.get_origin(hint)
    if hint is Any:
        return data
    if origin in (Union, types.UnionType):
        return _union(typing.get_args(hint), data, key)
    if origin is Literal:
        return _literal(typing.get_args(hint), data, key)
    if origin is tuple:
        return _tuple(typing.get_args(hint), data, key)
    if origin in (dict, Mapping):
        return {name: from_data(typing.get_args(hint)[1], item, f"{key}.{name}") for name, item in _mapping(data, key)}
    if hint in _SCALARS:
        return _scalar(hint, data, key)
    if hasattr(hint, "from_data"):
        return hint.from_data(data, key)
    if origin in KINDS or hint in KINDS:
        return _part(origin or hint, data, key)
    return call(hint, data, key)


def call(function: Callable[..., Any], data: Any, key: str) -> Any:
    """function(**data) with each argument read by its type hint; errors of the call name the key."""
    arguments = read_arguments(function, data, key)
    try:
        return function(**arguments)
    except (TypeError, ValueError) as error:
        raise DataError(f"{key}: {error}") from error


def read_arguments(function: Callable[..., Any], data: Any, key: str, given: tuple[str, ...] = ()) -> dict[str, Any]:
    """All keyword arguments of a function or class, but those given elsewhere: from the data, checked by their type
    hints, or else the defaults."""
    parameters = {name: p for name, p in inspect.signature(function).parameters.items() if name not in given}
    hints = _hints(function, parameters)
    data = dict(_mapping(data, key))
    for name in data:
        if name not in parameters:
            raise DataError(f"{key}.{name}: unknown key; {allowed(name, parameters)}")
    arguments = {}
    for name, parameter in parameters.items():
        if name in data:
            arguments[name] = from_data(hints.get(name, Any), data[name], f"{key}.{name}")
        elif parameter.default is inspect.Parameter.empty:
            raise DataError(f"{key}.{name}: missing; it is needed")
        else:
            arguments[name] = parameter.default
    return arguments


def _hints(function: Any, names: Iterable[str]) -> dict[str, Any]:
    """The types of these arguments. Those of a dataclass's fields are read in the modules that define the fields."""
    if is_dataclass(function) and set(names) <= {field.name for field in fields(function)}:
        return typing.get_type_hints(function)
    target: Any = function
    return typing.get_type_hints(target.__init__ if isinstance(function, type) else target)


def allowed(name: object, names: Iterable[str]) -> str:
    """What is allowed in the place of a name, the nearest first."""
    names = list(names)
    near = difflib.get_close_matches(str(name), names, n=1)
    return (f"did you mean {near[0]!r}? " if near else "") + f"allowed: {', '.join(names) or 'none'}"


_SCALARS = {float: "a number", int: "an integer", bool: "true or false", str: "a string", type(None): "nothing"}


def _scalar(hint: type, data: Any, key: str) -> Any:
    fits = isinstance(data, hint) or (hint is float and isinstance(data, int))
    if not fits or (isinstance(data, bool) and hint is not bool):
        raise DataError(f"{key}: needs {_SCALARS[hint]}, got {data!r}")
    return hint(data) if data is not None else None


def _literal(choices: tuple[Any, ...], data: Any, key: str) -> Any:
    if data not in choices:
        raise DataError(f"{key}: got {data!r}; {allowed(data, [str(choice) for choice in choices])}")
    return data


def _union(hints: tuple[Any, ...], data: Any, key: str) -> Any:
    errors = []
    for hint in hints:
        try:
            return from_data(hint, data, key)
        except DataError as error:
            errors.append(error)
    deepest = [error for error in errors if not str(error).startswith(f"{key}: needs")]
    if deepest:
        raise deepest[0]
    needs = " or ".join(str(error).removeprefix(f"{key}: needs ").split(", got ")[0] for error in errors)
    raise DataError(f"{key}: needs {needs}, got {data!r}")


def _tuple(hints: tuple[Any, ...], data: Any, key: str) -> tuple[Any, ...]:
    if not isinstance(data, (list, tuple)):
        raise DataError(f"{key}: needs a list, got {data!r}")
    if hints[-1] is Ellipsis:
        hints = (hints[0],) * len(data)
    if len(hints) != len(data):
        raise DataError(f"{key}: needs a list of {len(hints)}, got {data!r}")
    return tuple(from_data(hint, item, f"{key}[{i}]") for i, (hint, item) in enumerate(zip(hints, data, strict=True)))


def _mapping(data: Any, key: str) -> Iterable[tuple[str, Any]]:
    if not isinstance(data, Mapping):
        raise DataError(f"{key}: needs a mapping, got {data!r}")
    for name in data:
        if not isinstance(name, str):
            raise DataError(f"{key}: needs strings as keys, got {name!r}")
    return data.items()


def _part(kind: type, data: Any, key: str) -> Any:
    rest = dict(_mapping(data, key))
    name, known = rest.pop("name", None), components(kind)
    if not isinstance(name, str) or name not in known:
        given = "missing" if name is None else f"there is no {kind.__name__} {name!r}"
        raise DataError(f"{key}.name: {given}; {allowed(name, known)}")
    return call(known[name], rest, key)

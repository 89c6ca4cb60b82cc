"""Checks of user input, each an error with the name, what was given and what is needed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

from array_api_compat import array_namespace

SHORT = 60
"""Letters of a value that errors repeat."""


def given(value: Any) -> str:
    """What errors say of a value of the wrong type: how it is written and its type, or the type alone where that takes
    long, as it does for models and optimizers."""
    kind = type(value).__name__
    if isinstance(value, type):
        return f"the class {value.__name__}"
    written = repr(value)
    return f"{written} of type {kind}" if len(written) <= SHORT and "\n" not in written else f"an object of type {kind}"


def real(name: str, value: Any, need: str = "a finite number") -> float:
    """The value as a float. Raises TypeError when it is no real number, ValueError when it is NaN or infinite."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be {need}, got {given(value)}")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be {need}, got {value!r}")
    return float(value)


def store(part: object, **values: Any) -> None:
    """Set fields of a frozen dataclass while it is made."""
    for name, value in values.items():
        object.__setattr__(part, name, value)


def nonnegative(name: str, value: Any) -> float:
    """The value as a float; refuses all but finite numbers >= 0."""
    number = real(name, value, "a finite number >= 0")
    if number < 0:
        raise ValueError(f"{name} must be a finite number >= 0, got {value!r}")
    return number


def positive(name: str, value: Any) -> float:
    """The value as a float; refuses all but finite numbers > 0."""
    number = real(name, value, "a finite number > 0")
    if number <= 0:
        raise ValueError(f"{name} must be a finite number > 0, got {value!r}")
    return number


def fraction(name: str, value: Any) -> float:
    """The value as a float; refuses all but numbers in (0, 1]."""
    number = real(name, value, "a number in (0, 1]")
    if not 0 < number <= 1:
        raise ValueError(f"{name} must be a number in (0, 1], got {value!r}")
    return number


def decay(name: str, value: Any) -> float:
    """The value as a float; refuses all but numbers in [0, 1)."""
    number = real(name, value, "a number in [0, 1)")
    if not 0 <= number < 1:
        raise ValueError(f"{name} must be a number in [0, 1), got {value!r}")
    return number


def integer(name: str, value: Any, need: str = "an integer") -> int:
    """The value as an int; refuses all but integers (numpy's too)."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be {need}, got {given(value)}")
    return int(value)


def count(name: str, value: Any, least: int = 1) -> int:
    """The value as an int; refuses all but integers (numpy's too) >= least."""
    number = integer(name, value, f"an integer >= {least}")
    if number < least:
        raise ValueError(f"{name} must be an integer >= {least}, got {value!r}")
    return number


def flag(name: str, value: Any) -> None:
    """Refuse all but True and False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {given(value)}")


def choice(name: str, value: Any, allowed: Iterable[Any]) -> None:
    """Refuse all but the allowed values."""
    allowed = list(allowed)
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")


def instance(name: str, value: Any, kind: type, remedy: str) -> None:
    """Refuse all but instances of a class."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be a {kind.__name__}, got {given(value)}; {remedy}")


def floating(name: str, array: Any) -> None:
    """Refuse all but arrays of real floating-point numbers."""
    try:
        xp = array_namespace(array)
    except TypeError:
        raise TypeError(
            f"{name} must be an array (numpy, torch, cupy, ...), got {type(array).__name__}; "
            "convert it, for example with numpy.asarray(..., dtype=float)"
        ) from None
    if not xp.isdtype(array.dtype, "real floating"):
        raise TypeError(
            f"{name} must be an array of real floating-point numbers, got dtype {array.dtype}; "
            "convert it to float32 or float64"
        )

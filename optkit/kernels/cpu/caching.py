"""Loops as C functions, and on disk, where later runs read them as long as no source of this folder changed.

numba's own cache asks only whether the file of a loop changed, not of the functions that it calls.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

LOG = logging.getLogger("optkit.kernels")


@cache
def compiled(make: Callable[..., Callable[[Any], None]], *kind: Any) -> Any:
    """The loop make(*kind), a function of one address, as a C function that numba compiles, and says so, or reads from
    the disk, where it is found by what `make` is and by the kind, pickled."""
    from numba import cfunc, types

    from .functions import LOOP

    loop = make(*kind)
    kept = _kept(loop, kind)
    if kept is not None:
        from numba.core.ccallback import CFunc

        found: Any = CFunc(loop, ((types.intp,), types.void), {}, LOOP)
        found._cache = kept
        try:
            found.compile()
        except OSError:  # the disk is full
            kept = None
    if kept is None:
        found = cfunc(types.void(types.intp), **LOOP)(loop)
    if not found.cache_hits:
        later = "it cannot be kept on disk" if kept is None else f"later runs read it from {kept.cache_path}"
        LOG.info("compiled a loop of the numba kernel; %s", later)
    return found


def _kept(loop: Callable[[Any], None], kind: tuple[Any, ...]) -> Any:
    """numba's cache of a function, with a stamp of all sources; None where there can be none: where no folder can be
    written to, and with a numba whose cache does not ask for the stamp.

    numba overwrites what has another stamp, so that files of old versions do not pile up. Each kind has files of its
    own: numba numbers those that share an index, and two processes that save at once could exchange them.
    """
    asked = False
    try:
        from numba.core.caching import CompileResultCacheImpl, FunctionCache

        class Stamped(CompileResultCacheImpl):
            def __init__(self, function: Any) -> None:
                super().__init__(function)
                own = self.locator.get_source_stamp

                def stamp() -> Any:
                    nonlocal asked
                    asked = True
                    return own(), sources()

                self.locator.get_source_stamp = stamp
                self._filename_base += "-" + hashlib.sha256(repr(kind).encode()).hexdigest()[:12]

        class Kept(FunctionCache):
            _impl_class = Stamped

        kept = Kept(loop)
    except (ImportError, AttributeError, TypeError, RuntimeError):
        return None
    return kept if asked else None


@cache
def sources() -> str:
    """A digest of all source files of this folder."""
    folder = files("optkit.kernels.cpu").iterdir()
    found = sorted((file.name, file.read_bytes()) for file in folder if file.name.endswith(".py"))
    return hashlib.sha256(repr(found).encode()).hexdigest()

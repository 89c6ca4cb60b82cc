"""Compiled loops on disk, where later runs read them as long as no source of this folder changed.

numba's own cache asks only whether the file of a loop changed, not of the functions that it calls.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def sources() -> str:
    """A digest of all source files of this folder."""
    folder = files("optkit.kernels.cpu").iterdir()
    found = sorted((file.name, file.read_bytes()) for file in folder if file.name.endswith(".py"))
    return hashlib.sha256(repr(found).encode()).hexdigest()


@cache
def keep(loop: Any) -> bool:
    """Keep what is compiled of the loop on disk. Returns whether that can be: not where no folder can be written to,
    nor with a numba whose cache does not ask for the stamp of the sources.

    numba overwrites what has another stamp, so that files of old versions do not pile up.
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

        class Kept(FunctionCache):
            _impl_class = Stamped

        kept = Kept(loop.py_func)
    except (ImportError, AttributeError, TypeError, RuntimeError):
        return False
    if asked:
        loop._cache = kept
    return loop.stats.cache_path is not None

"""The threads that share a kernel's jobs: torch's own team.

After an operation the threads of torch wait for the next one at full speed for some milliseconds, and other threads
would have to share the cores with them. So the work is given to that team, by the function of the OpenMP runtime that
compiled loops call: the one that all libraries of the process see, which torch brings along. Where there is none, and
in a forked child, which has no such team, other threads do it.
"""

from __future__ import annotations

import ctypes
import os
import sys
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache, lru_cache
from typing import Any

FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
"""void function(void *data)."""


@cache
def _team() -> Any:
    """GOMP_parallel(function, data, threads, flags), or None."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None  # with all that torch made global
    parallel = getattr(library, "GOMP_parallel", None)
    if parallel is not None:
        parallel.argtypes, parallel.restype = [FUNCTION, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint], None
    return parallel


@cache
def number() -> int:
    """The address of the function that says the number of a thread in the team; 0 where there is none."""
    function = getattr(ctypes.CDLL(None), "omp_get_thread_num", None) if _team() is not None else None
    return 0 if function is None else ctypes.cast(function, ctypes.c_void_p).value or 0


@lru_cache(maxsize=1)  # a pool of another size goes, and its threads end
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="optkit")


_child = False
"""Whether the process was forked, and so were all that it forks in turn."""


def _forked() -> None:
    global _child
    _child = True
    _pool.cache_clear()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_forked)


def everywhere(function: Any, data: int, threads: int) -> None:
    """function(data), a FUNCTION that raises no errors, in so many threads, this one among them."""
    parallel = None if _child or threads == 1 else _team()
    if parallel is not None:
        parallel(function, data, threads, 0)
        return
    others: list[Future[None]] = []
    interruption: KeyboardInterrupt | None = None  # which has to wait, for the others go on in the caller's arrays
    try:
        for _ in range(threads - 1):
            others.append(_pool(threads - 1).submit(function, data))
        function(data)
    except KeyboardInterrupt as error:
        interruption = error
    while not all(other.done() for other in others):
        try:
            wait(others)
        except KeyboardInterrupt as error:
            interruption = error
    if interruption is not None:
        raise interruption

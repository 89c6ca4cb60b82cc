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
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from typing import Any

import torch

_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


@cache
def _team() -> Any:
    """GOMP_parallel(function, data, threads, flags), or None."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None  # with all that torch made global
    parallel = getattr(library, "GOMP_parallel", None)
    if parallel is not None:
        parallel.argtypes, parallel.restype = [_FUNCTION, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint], None
    return parallel


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


def everywhere(work: Callable[[], None], jobs: int) -> None:
    """work() in as many threads as torch uses and there are jobs for, this one among them."""
    threads = max(1, min(torch.get_num_threads(), jobs))
    if threads == 1:
        work()
        return
    errors: list[BaseException] = []

    def guarded(_: Any = None) -> None:
        try:
            work()
        except BaseException as error:  # else it would be printed and forgotten
            errors.append(error)

    parallel = None if _child else _team()
    if parallel is not None:
        parallel(_FUNCTION(guarded), None, threads, 0)
    else:
        others = [_pool(threads - 1).submit(guarded) for _ in range(threads - 1)]
        guarded()
        for other in others:
            other.result()
    if errors:
        raise errors[0]

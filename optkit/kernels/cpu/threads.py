"""The threads that share a kernel's jobs: as many as torch uses."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="optkit")


os.register_at_fork(after_in_child=_pool.cache_clear)  # a child process has none of these threads


def everywhere(work: Callable[[int], None], jobs: int) -> None:
    """work(k) for k = 0, 1, ... in as many threads as there are jobs for, this one among them."""
    threads = max(1, min(torch.get_num_threads(), jobs))
    if threads == 1:
        work(0)
        return
    others = [_pool(threads - 1).submit(work, k) for k in range(1, threads)]
    try:
        work(0)
    finally:
        for other in others:
            other.result()

"""Which job a thread does next: first those of its own share, then those that others have not begun."""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from numba import njit

from .functions import STRICT
from .jobs import APART
from .memory import called, load, look, take


@njit(**STRICT)
def numbered(memory):
    """The number of this thread, which no other has: that in its team, so that its share is the same in each step, or
    the next one that is free; -1, and nothing to do, where none is."""
    me = called(memory.number) if memory.number != 0 else 0
    for _ in range(memory.threads):
        me %= memory.threads
        if take(memory.counters, APART * (1 + me)) == 0:
            return me
        me += 1
    return -1


@njit(**STRICT)
def next_job(turn, me, memory):
    """(round, job) of what this thread does next, in this round or a later one; -1 for the job where none is left."""
    threads = memory.threads
    while turn < memory.rounds and me >= 0:
        for i in range(threads):
            whose = (me + i) % threads
            begin, counter = turn * (threads + 1) + whose, APART * (1 + threads + turn * threads + whose)
            n, end = load(memory.shares, begin), load(memory.shares, begin + 1)
            if n + look(memory.counters, counter) < end:
                n += take(memory.counters, counter)
                if n < end:
                    return turn, n
        turn += 1
    return turn, -1


@njit(**STRICT)
def progress(panel, memory):
    """The counter of a panel in pieces."""
    return APART * (1 + memory.threads + memory.rounds * memory.threads + panel)

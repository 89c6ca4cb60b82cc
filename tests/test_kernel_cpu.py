"""Parts of the numba kernel: the secular equation from moments, the threads."""

from __future__ import annotations

import ctypes
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

pytest.importorskip("numba")
from numba import cfunc, types

from optkit.kernels.cpu import running, threads
from optkit.kernels.cpu.jobs import (
    NARROWEST,
    PIECES,
    RESULT,
    SHARED,
    STRETCH,
    SUMS,
    THIN,
    WIDEST,
    Geometry,
    Job,
    Jobs,
    cut,
    stretches,
)
from optkit.kernels.cpu.memory import opened, pointer, store, take
from optkit.kernels.cpu.newton import cheap, following, sharp
from optkit.kernels.cpu.running import Arrays, Work
from optkit.kernels.cpu.shares import next_job, numbered
from optkit.kernels.layout import layout
from optkit.regularizers import GroupLasso
from optkit.torch import RAMDA, ProxSGD

bisect: Any = optimize.bisect  # whose stub returns more than a number

# --- the secular equation ---------------------------------------------------------------------------------------------


def measures() -> list[tuple[np.ndarray, np.ndarray]]:
    """(mass, x) of many kinds: one node, two, nodes at both ends, spread, clustered, of any weights."""
    rng = np.random.default_rng(0)
    found = [(np.ones(1), np.array([x])) for x in (1e-9, 1e-3, 0.5, 0.999, 1.0)] + [
        (np.ones(2), np.array(x)) for x in ((0.0, 1.0), (0.2, 0.9), (0.5, 0.5 + 1e-7), (1e-6, 1.0))
    ]
    for _ in range(300):
        n = int(rng.integers(1, 60))
        found.append((rng.lognormal(0, 2, n), rng.beta(rng.lognormal(0, 1.5), rng.lognormal(0, 1.5), size=n)))
        found.append((rng.lognormal(0, 1, n), np.clip(rng.uniform() + 1e-3 * rng.standard_normal(n), 0, 1)))
    return found


def scaled(mass: np.ndarray, x: np.ndarray, r: float) -> np.ndarray:
    """The mass for which h(theta (1 + r)) = 1."""
    return mass / np.sum(mass / (1 + x * r) ** 2)


@pytest.mark.parametrize("r", [0.0, 1e-6, -1e-3, 0.02, -0.05, 0.09, -0.3, 0.4])
def test_the_bounds_of_what_moments_leave_out_hold(r: float) -> None:
    """At the r that either solver finds, the true h is no further from 1 than it says, up to rounding, which counts
    where x hardly varies; and of one node moments say all, except where 1 - x is of the size of rounding."""
    certain = 0
    for mass, x in measures():
        mass = scaled(mass, x, r)
        h, m1, m2, m3 = (float(np.sum(mass * x**k)) for k in range(4))
        if m1 < 1e-12:
            continue
        guess = (np.sqrt(h) - 1) * h / m1
        for found, bound in (cheap(h, m1, m2, m3), sharp(guess, h, m1, m2, m3)):
            if np.isfinite(bound):
                true = np.sum(mass / (1 + x * found) ** 2)
                assert abs(true - 1) <= bound + 1e-10, (mass, x, found, bound)
        found, bound = sharp(guess, h, m1, m2, m3)
        assert np.isfinite(found)
        certain += bound < 1e-5
        if len(x) == 1 and 1e-2 < x[0] < 1 - 1e-6:
            assert bound < 1e-9
    if abs(r) < 0.1:
        assert certain > 500


def test_the_steps_of_theta_lead_to_the_root() -> None:
    """From 0 and from either side, with moments taken again where they do not suffice; the truth by bisection."""
    rng = np.random.default_rng(1)
    passes = []
    for _ in range(300):
        n = int(rng.integers(1, 40))
        d, b, lam = rng.lognormal(0, 2, n), rng.lognormal(0, 1, n), float(rng.lognormal(-1, 1))

        def excess(t: float, d: Any = d, b: Any = b, lam: float = lam) -> float:
            return float(np.sum((b / (d * t + lam)) ** 2)) - 1

        end = float(np.linalg.norm(b) / d.min())
        root = 0.0 if excess(0.0) <= 0 else bisect(excess, 0.0, end, xtol=1e-300, maxiter=2000)
        for theta in (0.0, 0.5 * root, 0.97 * root, 1.01 * root, 3 * root, root + 1):
            done, count = False, 0
            while not done:
                r = 1 / (d * theta + lam)
                q, x = (b * r) ** 2, d * r
                theta, done = following(theta, q.sum(), (q * x).sum(), (q * x**2).sum(), (q * x**3).sum(), 1e-13)
                count += 1
                assert count < 60
            assert abs(excess(theta)) < 1e-11 if root > 0 else theta == 0
            passes.append(count)
    assert np.median(passes) <= 5


# --- threads ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def two() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("team", [True, False])
def test_the_work_is_done_in_so_many_threads(team: bool, two: None, monkeypatch: pytest.MonkeyPatch) -> None:
    if not team:
        monkeypatch.setattr(threads, "_team", lambda: None)
    elif sys.platform == "linux":
        assert threads._team() is not None
    seen: list[int] = []

    def work(_: Any) -> None:
        seen.append(threading.get_ident())
        time.sleep(0.05)

    threads.everywhere(threads.FUNCTION(work), 0, 2)
    assert len(seen) == len(set(seen)) == 2 and threading.get_ident() in seen
    seen.clear()
    threads.everywhere(threads.FUNCTION(work), 0, 1)
    assert seen == [threading.get_ident()]


@pytest.mark.parametrize(("columns", "used"), [(1, 1), (2 * NARROWEST, 2), (9 * NARROWEST, 3)])
def test_loops_run_in_as_many_threads_as_torch_uses_and_there_are_jobs(columns: int, used: int) -> None:
    before = torch.get_num_threads()
    w = torch.nn.Parameter(torch.ones(2, columns))
    try:
        torch.set_num_threads(3)
        optimizer = ProxSGD([w], lr=0.1, regularizer=GroupLasso(0.1, axes=0), kernel="numba")
        with mock.patch.object(running, "everywhere", wraps=threads.everywhere) as calls:
            for _ in range(3):
                w.grad = torch.ones_like(w)
                optimizer.step()
        assert {call.args[2] for call in calls.call_args_list[1::2]} == {used}  # of every second the gradients' check
    finally:
        torch.set_num_threads(before)


usleep = types.ExternalFunction("usleep", types.intc(types.intc))


@cfunc(types.void(types.intp))
def working(table: int) -> None:
    """Whoever comes first works for 0.2 s, and others for 0.6 s; counters: how many began, and how many ended."""
    counters = pointer(table, 0, np.int64, "counter")
    usleep(600000 if take(counters, 0) else 200000)
    take(counters, 1)


def noting(table: int) -> None:
    """The results say who did each job, after 20 ms."""
    memory = opened(table)
    me = numbered(memory)
    turn, n = next_job(0, me, memory)
    while n >= 0:
        usleep(20000)
        store(memory.results, RESULT * n, 1 + me)
        turn, n = next_job(turn, me, memory)


@pytest.mark.parametrize("team", [True, False])
def test_each_thread_does_its_own_share_and_then_what_others_leave(
    team: bool, two: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With threads that number themselves as they come, it is only known that all is done once."""
    if not team:
        monkeypatch.setattr(threads, "_team", lambda: None)
        monkeypatch.setattr(running, "number", lambda: 0)
    elif threads.number() == 0:
        pytest.skip("needs OpenMP: elsewhere threads have the numbers as they come")
    arrays = Arrays.of(torch.float32, [[0] * 7], 1)
    work = Work(lambda dtype, flags: noting, stretches((6 * STRETCH,), 2), arrays, None)
    seen = []
    for _ in range(10):  # on a busy machine one may be late, and the other helps
        work.results[:] = 0
        work()
        seen.append(work.results[:, 0].tolist())
    assert [1, 1, 1, 2, 2, 2] in seen if team else all(set(did) <= {1, 2} for did in seen)
    monkeypatch.setattr(running, "everywhere", lambda function, data, _: function(data))  # one of the two is not there
    work.results[:] = 0
    work()
    assert len(set(work.results[:, 0])) == 1 and work.results[0, 0] > 0
    work.results[:] = 0
    monkeypatch.setattr(running, "everywhere", lambda function, data, _: [threads.everywhere(function, data, 5)])
    work()  # some more than there are numbers have nothing to do
    assert set(work.results[:, 0]) <= {1, 2}


@pytest.mark.parametrize("number", ["getpid", "rand", None])
def test_threads_of_equal_numbers_or_fewer_threads_do_all_the_same(
    number: str | None, two: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those whose jobs wait for each other, in whatever number they come."""
    library = ctypes.CDLL(None) if sys.platform != "win32" else None
    if library is None:
        pytest.skip("needs a C library that the process shares")
    address = None if number is None else ctypes.cast(getattr(library, number), ctypes.c_void_p).value

    def steps() -> torch.Tensor:
        w = torch.nn.Parameter(torch.ones(2 * THIN * PIECES, 1000))
        optimizer = RAMDA([w], lr=0.1, regularizer=GroupLasso(0.1, axes=0), kernel="numba")
        for seed in range(3):
            w.grad = torch.randn(w.shape, generator=torch.Generator().manual_seed(seed))
            optimizer.step()
        return w.detach()

    expected = steps()
    if address is None:
        monkeypatch.setattr(running, "everywhere", lambda function, data, _: function(data))
    else:
        monkeypatch.setattr(running, "number", lambda: address)
    assert torch.equal(steps(), expected)


@pytest.mark.parametrize("seconds", [0.1, 0.4])
def test_an_interruption_waits_for_all_threads(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else they would go on in arrays that nobody keeps. It comes while all work, or while one waits for the other."""
    if not hasattr(signal, "pthread_kill"):
        pytest.skip("needs signal.pthread_kill, which Windows lacks")
    monkeypatch.setattr(threads, "_team", lambda: None)
    address: Any = working.address
    function, counters = threads.FUNCTION(address), np.zeros(2, np.int64)
    threads.everywhere(function, counters.ctypes.data, 2)
    counters[:] = 0
    threading.Timer(seconds, signal.pthread_kill, [threading.main_thread().ident, signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        threads.everywhere(function, counters.ctypes.data, 2)
    assert counters.tolist() == [2, 2]


def test_an_interruption_between_submissions_waits_for_those_that_were_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else their threads would take part in the next run."""
    monkeypatch.setattr(threads, "_team", lambda: None)
    pool, ended = threads._pool(2), list[bool]()

    def work(_: Any) -> None:
        time.sleep(0.2)
        ended.append(True)

    submissions = mock.Mock(side_effect=[pool.submit(work, 0), KeyboardInterrupt])
    monkeypatch.setattr(pool, "submit", submissions)
    with pytest.raises(KeyboardInterrupt):
        threads.everywhere(threads.FUNCTION(work), 0, 3)
    assert ended == [True]
    pool.shutdown()  # the error's frames may keep it
    threads._pool.cache_clear()


def test_the_team_is_the_one_that_torch_uses() -> None:
    """Where it is another, torch's threads compete with ours for the cores."""
    if sys.platform != "linux":
        pytest.skip("needs Linux: elsewhere other threads do the work")
    code = """
import os, torch
from optkit.kernels.cpu.threads import FUNCTION, everywhere
torch.set_num_threads(2)
torch.ones(1 << 22).add_(1)
count = lambda: len(os.listdir("/proc/self/task"))
before = count()
everywhere(FUNCTION(lambda _: None), 0, 2)
print(count() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "0"


def test_threads_of_another_number_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_team", lambda: None)

    def ours() -> int:
        return sum(thread.name.startswith("optkit") for thread in threading.enumerate())

    for count in (4, 3, 2):
        threads.everywhere(threads.FUNCTION(lambda _: time.sleep(0.05)), 0, count)
    deadline = time.monotonic() + 20
    while ours() != 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert ours() == 1


def test_children_and_their_children_have_threads_of_their_own() -> None:
    """Also where they ask for more than the parent had."""
    if not hasattr(os, "fork"):
        pytest.skip("needs os.fork")
    code = """
import os, sys, threading, time, torch
from optkit.kernels.cpu.threads import FUNCTION, everywhere

def used(threads):
    seen = set()
    def work(_):
        seen.add(threading.get_ident())
        time.sleep(0.05)
    everywhere(FUNCTION(work), 0, threads)
    return len(seen) == threads

def generation(depth):
    well = used(2) and used(3)
    if depth and well:
        child = os.fork()
        if child == 0:
            os._exit(not generation(depth - 1))
        well = os.waitpid(child, 0)[1] == 0
    return well and used(2)

print(generation(3))
"""
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "True"


# --- jobs -------------------------------------------------------------------------------------------------------------


@st.composite
def geometries(draw: st.DrawFn) -> list[Geometry]:
    """Of tensors with their axes in any order in memory, and with groups over any axes that the loops know."""
    found = []
    for _ in range(draw(st.integers(1, 4))):
        shape = draw(st.lists(st.sampled_from([0, 1, 2, 3, 7, 40, 300, 9000]), min_size=1, max_size=4))
        while math.prod(shape) > 20_000:
            shape.remove(max(shape))
        order = draw(st.permutations(range(len(shape))))
        inner = torch.empty([shape[axis] for axis in order], device="meta")
        w = inner.permute([order.index(axis) for axis in range(len(shape))])
        axes = tuple(axis for axis in range(len(shape)) if draw(st.booleans()))
        known = axes and layout(tuple(w.shape), w.stride(), axes) is not None
        found.append(Geometry(tuple(w.shape), w.stride(), axes if known else None))
    return found


def group_of_each(geometry: Geometry) -> np.ndarray:
    """The group of each entry, in the order of memory; axes, shape and strides say what a group is."""
    shape, strides, axes = geometry
    ids = np.arange(math.prod(n for i, n in enumerate(shape) if i not in (axes or ())))
    whole = np.broadcast_to(ids.reshape([1 if i in (axes or ()) else n for i, n in enumerate(shape)]), shape)
    return whole.transpose(sorted(range(len(shape)), key=lambda i: (-strides[i], shape[i]))).ravel()


def listed(jobs: Jobs, **given: int) -> list[Job]:
    """The jobs with these fields, in their order."""
    found = [Job(*row) for row in jobs.rows.tolist()]
    return [job for job in found if all(getattr(job, key) == value for key, value in given.items())]


@given(geometries(), st.sampled_from([1, 2, 5, 16, 64]))
@settings(deadline=None)
def test_the_jobs_cover_each_entry_once_and_whole_groups(several: list[Geometry], threads: int) -> None:
    """Each entry once in either pass, where there are two."""
    jobs = cut(tuple(several), threads)
    for i, geometry in enumerate(several):
        groups = group_of_each(geometry)
        count, thetas = np.zeros((2, groups.size), int), []
        for _, offset, theta, rows, stride, length, run, _, piece, pieces, second, _ in listed(jobs, task=i):
            entries = offset + stride * np.arange(rows)[:, None] + np.arange(length)
            assert rows == 1 or length <= jobs.widest
            assert second == 0 or pieces > 1
            passes = (second,) if pieces > 1 else (0, 1)
            count[np.ix_(np.array(passes), entries[rows * piece // pieces : rows * (piece + 1) // pieces].ravel())] += 1
            if geometry.axes is not None and piece == second == 0:
                columns = groups[entries].reshape(rows, length // run, run)
                assert np.all(columns == columns[:1, :, :1]) and len(set(columns[0, :, 0])) == length // run
                assert rows * run * geometry.groups == groups.size
                thetas += range(theta, theta + length // run)
        assert np.all(count == 1)
        assert geometry.axes is None or not groups.size or sorted(thetas) == list(range(geometry.groups))


@given(geometries(), st.sampled_from([1, 2, 5, 16, 64]))
@settings(deadline=None)
def test_the_pieces_of_a_panel_have_a_board_of_their_own(several: list[Geometry], threads: int) -> None:
    jobs = cut(tuple(several), threads)
    boards = np.zeros(jobs.board, int)
    for number in range(jobs.panels):
        mine = listed(jobs, panel=number)
        assert len({job._replace(piece=0, second=0) for job in mine}) == 1
        length, pieces, board = mine[0].length, mine[0].pieces, mine[0].board
        passes = [(second, piece) for second in (range(2) if pieces > 1 else range(1)) for piece in range(pieces)]
        assert sorted((job.second, job.piece) for job in mine) == passes
        boards[board : board + (SHARED + SUMS * pieces) * length * (pieces > 1)] += 1
    assert np.all(boards == 1)


@given(geometries(), st.sampled_from([1, 2, 5, 16, 64]))
@settings(deadline=None)
def test_no_job_waits_for_one_of_its_own_round_and_shares_are_fair(several: list[Geometry], threads: int) -> None:
    """Who waits for the first pass over a panel must come in a later round than all of it: whoever else is late, or
    never comes, all jobs of the rounds before were begun."""
    jobs = cut(tuple(several), threads)
    rows, shares = listed(jobs), jobs.shares
    assert shares.shape[1] == jobs.threads + 1 <= threads + 1 and jobs.threads <= max(1, len(rows))
    assert np.all(np.diff(shares.ravel()) >= 0) and shares[0, 0] == 0 and shares[-1, -1] == len(rows)
    assert np.array_equal(shares[1:, 0], shares[:-1, -1])
    began: dict[int, list[tuple[int, int]]] = {}
    for number, begins in enumerate(shares):
        own = [rows[i:j] for i, j in zip(begins, begins[1:], strict=False)]
        assert number + 3 >= len(shares) or begins[-1] - begins[0] >= jobs.threads
        assert len({job.second for share in own for job in share}) <= 1
        sizes = [[job.size for job in share] for share in own]
        most, total = max(map(max, filter(None, sizes)), default=0), sum(map(sum, sizes))
        assert all(abs(sum(size) - total / jobs.threads) <= most for size in sizes)
        for thread, share in enumerate(own):
            for job in share:
                began.setdefault(job.panel, []).append((number, thread))
    for panel, found in began.items():
        mine = listed(jobs, panel=panel)
        first, second = found[: mine[0].pieces], found[mine[0].pieces :]
        assert {number for number, _ in first} == {found[0][0]}
        assert {number for number, _ in second} <= {found[0][0] + 1}
        assert not second or Counter(t for _, t in first) == Counter(t for _, t in second)  # of the same threads


@given(geometries(), st.sampled_from([1, 2, 5, 16, 64]))
@settings(deadline=None)
def test_there_are_no_more_panels_than_there_is_work_for(several: list[Geometry], threads: int) -> None:
    jobs = cut(tuple(several), threads)
    for i, geometry in enumerate(several):
        known = layout(*geometry) if geometry.axes is not None else None
        if known is not None and 0 not in geometry.shape:
            across = [-(-known.groups // max(1, width // known.run)) for width in (NARROWEST, WIDEST)]
            most = min(across[0], max(across[1], threads))
            mine = listed(jobs, task=i)
            assert len({job.panel for job in mine}) <= known.batches * most
            assert all(job.pieces <= max(1, min(PIECES * threads, known.rows // THIN)) for job in mine)


@pytest.mark.parametrize(("threads", "panels"), [(1, 1), (2, 2), (16, 16), (64, 16)])
def test_a_panel_of_few_rows_is_narrow_at_most_as_far_as_it_pays(threads: int, panels: int) -> None:
    assert cut((Geometry((100, 4096), (4096, 1), (0,)),), threads).panels == panels
    assert cut((Geometry((100, 4096), (4096, 1), (0,)),) * 2, threads).panels == 2 * panels


@pytest.mark.parametrize(("threads", "pieces"), [(1, 1), (2, 4), (16, 32), (64, 64)])
def test_a_panel_of_many_rows_is_cut_into_pieces_of_some(threads: int, pieces: int) -> None:
    jobs = cut((Geometry((4096, 4096), (4096, 1), (0,)),), threads)
    assert jobs.panels == 1 and {job.pieces for job in listed(jobs)} == {pieces}

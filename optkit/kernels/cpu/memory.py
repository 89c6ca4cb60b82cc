"""Raw memory for the loops: the arrays they are given, pointers that are known not to overlap, lines of the cache, and
shared counters.

The vectorizer must know that a store to one array leaves the others alone. Numba's arrays do not say so, and with ten
of them the check at run time is too long for LLVM, which then leaves the loop scalar. So a pointer has a role, which is
part of its type, and loads and stores of different roles carry LLVM's scoped no-alias metadata.
"""

from __future__ import annotations

import sys
from collections import namedtuple
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model

_intrinsic: Any = intrinsic  # which takes the first argument away
ROLES = (
    "w",
    "anchor",
    "grad",
    "m",
    "u",
    "top",
    "theta",
    "d",
    "b",
    "h",
    "m1",
    "m2",
    "m3",
    "free",
    "column",
    "lam",
    "bent",
    "total h",
    "total m1",
    "total m2",
    "total m3",
    "total free",
    "next",
    "open",
    "board",
    "table",
    "result",
    "counter",
)
"""Arrays of different roles share no memory."""
Memory = namedtuple(
    "Memory", "jobs shares rounds threads number tensors penalties plans results counters boards scratch width"
)
"""What a loop is given; see running.py."""
LINE, AHEAD = 64, 32
"""Bytes of a line of the cache, and how many lines ahead of a loop they are fetched: twice as far does about as well,
half as far is too near."""


class Pointer(types.CPointer):
    """To numbers of one dtype, in one role."""

    def __init__(self, dtype: Any, role: str) -> None:
        super().__init__(dtype)
        self.role = role
        self.name = f"{role}*{dtype}"

    @property
    def key(self) -> Any:
        return self.dtype, self.role


register_model(Pointer)(models.PointerModel)


@_intrinsic(prefer_literal=True)
def pointer(typingctx: Any, address: Any, i: Any, dtype: Any, role: Any) -> Any:
    """To number i of those at the address, an integer."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        first = builder.inttoptr(args[0], context.get_value_type(signature.return_type))
        return builder.gep(first, [args[1]])

    return Pointer(dtype.dtype, role.literal_value)(types.intp, types.intp, dtype, role), codegen


def _tag(builder: Any, instruction: Any, role: str) -> None:
    module = builder.module
    domain = module.add_metadata(["optkit"])
    scopes = {name: module.add_metadata([f"optkit.{name}", domain]) for name in ROLES}
    instruction.set_metadata("alias.scope", module.add_metadata([scopes[role]]))
    instruction.set_metadata("noalias", module.add_metadata([scopes[name] for name in ROLES if name != role]))


@_intrinsic
def load(typingctx: Any, p: Any, i: Any) -> Any:
    """p[i]."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = builder.load(builder.gep(args[0], [args[1]], inbounds=True))
        _tag(builder, value, p.role)
        return value

    return p.dtype(p, types.intp), codegen


@_intrinsic
def store(typingctx: Any, p: Any, i: Any, x: Any) -> Any:
    """p[i] = x, in the dtype of p."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = context.cast(builder, args[2], x, p.dtype)
        _tag(builder, builder.store(value, builder.gep(args[0], [args[1]], inbounds=True)), p.role)
        return context.get_dummy_value()

    return types.void(p, types.intp, x), codegen


@_intrinsic
def per_line(typingctx: Any, p: Any) -> Any:
    """How many numbers like p[0] fill a line of the cache."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(cgutils.intp_t, LINE * 8 // p.dtype.bitwidth)

    return types.intp(p), codegen


@_intrinsic
def fetch(typingctx: Any, p: Any, i: Any) -> Any:
    """Begin to read p[i], if there is anything: what the processor fetches by itself ends with each page of memory."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, *3 * [cgutils.int32_t]])
        prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        place = builder.bitcast(builder.gep(args[0], [args[1]]), cgutils.voidptr_t)
        builder.call(prefetch, [place, *(ir.Constant(cgutils.int32_t, n) for n in (0, 3, 1))])  # to read, near, data
        return context.get_dummy_value()

    return types.void(p, types.intp), codegen


@njit(nogil=True)
def opened(table: Any) -> Any:
    """What a loop is given: the table at this address lists it."""
    at = pointer(table, 0, np.int64, "table")
    return Memory(
        pointer(load(at, 0), 0, np.int64, "table"),
        pointer(load(at, 1), 0, np.int64, "table"),
        load(at, 2),
        load(at, 3),
        load(at, 4),
        pointer(load(at, 5), 0, np.int64, "table"),
        pointer(load(at, 6), 0, np.float64, "table"),
        pointer(load(at, 7), 0, np.float64, "table"),
        pointer(load(at, 8), 0, np.float64, "result"),
        pointer(load(at, 9), 0, np.int64, "counter"),
        load(at, 10),
        load(at, 11),
        load(at, 12),
    )


@_intrinsic
def called(typingctx: Any, address: Any) -> Any:
    """What the C function of no arguments at this address returns, an int."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.IntType(32), [])
        found = builder.call(builder.inttoptr(args[0], kind.as_pointer()), [])
        return builder.sext(found, cgutils.intp_t)

    return types.intp(types.intp), codegen


@_intrinsic
def take(typingctx: Any, counters: Any, i: Any) -> Any:
    """counters[i], an integer that is 1 higher afterwards, in one step for all threads. What a thread wrote before it
    is seen by those that take later."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        one = ir.Constant(cgutils.intp_t, 1)
        return builder.atomic_rmw("add", builder.gep(args[0], [args[1]]), one, "acq_rel")

    return types.intp(counters, types.intp), codegen


@_intrinsic
def look(typingctx: Any, counters: Any, i: Any) -> Any:
    """counters[i], with all that was written before it was taken last."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load_atomic(builder.gep(args[0], [args[1]]), "acquire", 8)

    return types.intp(counters, types.intp), codegen


if sys.platform == "win32":

    @njit
    def pause() -> None:
        """Nothing."""

else:
    _yield = types.ExternalFunction("sched_yield", types.intc())

    @njit(nogil=True)
    def pause() -> None:
        """Let others have the core, if they wait for it."""
        _yield()


_SAME_SIZE = {types.float32: types.int32, types.int32: types.float32, types.float64: types.int64}
_SAME_SIZE[types.int64] = types.float64


@_intrinsic
def bits(typingctx: Any, x: Any) -> Any:
    """The bits of a number as an integer of its size, and of an integer as a number."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(signature.return_type))

    return _SAME_SIZE[x](x), codegen

"""Raw memory for the loops: pointers, loads and stores that are known not to overlap, a shared counter.

The vectorizer must know that a store to one array leaves the others alone. Numba's arrays do not say so, and with ten
of them the check at run time is too long for LLVM, which then leaves the loop scalar. So every array here has a role,
and loads and stores of different roles carry LLVM's scoped no-alias metadata.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_intrinsic: Any = intrinsic  # which takes the first argument away
ROLES = (
    "w",
    "anchor",
    "grad",
    "m",
    "u",
    "top",
    "theta",
    "h",
    "m1",
    "m2",
    "m3",
    "free",
    "column",
    "lam",
    "bent",
    "total",
)


def _scopes(module: Any, role: str) -> tuple[Any, Any]:
    """The metadata (alias.scope, noalias) of accesses in this role."""
    domain = module.add_metadata(["optkit"])
    scopes = {name: module.add_metadata([f"optkit.{name}", domain]) for name in ROLES}
    others = [scopes[name] for name in ROLES if name != role]
    return module.add_metadata([scopes[role]]), module.add_metadata(others)


def _tag(builder: Any, instruction: Any, role: str) -> None:
    own, others = _scopes(builder.module, role)
    instruction.set_metadata("alias.scope", own)
    instruction.set_metadata("noalias", others)


def _accessors(role: str) -> tuple[Any, Any]:
    """(load(p, i), store(p, i, x)) of the i-th number behind p, for one role."""

    @intrinsic
    def load(typingctx: Any, p: Any, i: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            value = builder.load(builder.gep(args[0], [args[1]], inbounds=True))
            _tag(builder, value, role)
            return value

        return p.dtype(p, types.intp), codegen

    @intrinsic
    def store(typingctx: Any, p: Any, i: Any, x: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            _tag(builder, builder.store(args[2], builder.gep(args[0], [args[1]], inbounds=True)), role)
            return context.get_dummy_value()

        return types.void(p, types.intp, p.dtype), codegen

    return load, store


load_w, store_w = _accessors("w")
load_anchor, _ = _accessors("anchor")
load_grad, _ = _accessors("grad")
load_m, store_m = _accessors("m")
load_u, store_u = _accessors("u")
load_top, store_top = _accessors("top")
load_theta, store_theta = _accessors("theta")
load_h, store_h = _accessors("h")
load_m1, store_m1 = _accessors("m1")
load_m2, store_m2 = _accessors("m2")
load_m3, store_m3 = _accessors("m3")
load_free, store_free = _accessors("free")
load_column, store_column = _accessors("column")
load_lam, store_lam = _accessors("lam")
load_bent, store_bent = _accessors("bent")


@_intrinsic
def pointer(typingctx: Any, address: Any, like: Any) -> Any:
    """The address, an integer, as a pointer to numbers of the dtype of the array `like`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return types.CPointer(like.dtype)(types.intp, like), codegen


@_intrinsic
def take(typingctx: Any, counter: Any) -> Any:
    """counter[0], an integer that is 1 higher afterwards, in one step for all threads."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        one = ir.Constant(cgutils.intp_t, 1)
        return builder.atomic_rmw("add", array.data, one, "monotonic")

    return types.intp(counter), codegen


def _cast(source: Any, target: Any) -> Any:
    @intrinsic
    def cast(typingctx: Any, x: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.bitcast(args[0], context.get_value_type(target))

        return target(source), codegen

    return cast


as_bits = _cast(types.float32, types.int32)
as_number = _cast(types.int32, types.float32)

"""Checkpoints that do not belong to an optimizer are refused before anything changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from .state import keys

if TYPE_CHECKING:
    from .optimizer import MethodOptimizer

VERSION = 3
"""The version of the format of `state_dict`."""

SAME = ("method", "regularizer")
"""What a group of a checkpoint must share with the optimizer's. All else, such as lr or the solver, is loaded."""


def refuse_others(optimizer: MethodOptimizer, state_dict: Any) -> None:
    """Raise ValueError, naming the field that differs, for a checkpoint of another version, method, regularizer
    (grouping and strength are part of it), number or order of parameters, kind of state, or shape; TypeError for what
    is none."""
    if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= set(state_dict):
        raise TypeError("the checkpoint must be a state_dict with the keys 'state' and 'param_groups'")
    saved, present = state_dict["param_groups"], optimizer.param_groups
    for i, (theirs, ours) in enumerate(zip(saved, present, strict=False)):
        for key in SAME:
            _same(key, theirs.get(key), ours[key], f"the checkpoint's group {i}")
        _same("number of parameters", len(theirs["params"]), len(ours["params"]), f"the checkpoint's group {i}")
    _same("number of groups", len(saved), len(present), "the checkpoint")
    own = state_dict.get("optkit") or {}
    version = own.get("version")
    if version != VERSION:
        raise ValueError(
            f"the checkpoint has the format version {version!r}, this optkit reads {VERSION}; "
            "load it with the optkit that wrote it"
        )
    _same("entries of 'optkit'", sorted(own), ["skipped", "uncertified", "version"], "the checkpoint")
    names, own = ([name for group in groups for name in group.get("param_names", ())] for groups in (saved, present))
    if sorted(names) == sorted(own):  # other names altogether are those of a renamed or wrapped model
        _same("order of names", names, own, "the checkpoint")
    for theirs, ours in zip(saved, present, strict=True):
        needed = sorted(keys(optimizer.method(ours)))
        for index, parameter in zip(theirs["params"], ours["params"], strict=True):
            state = state_dict["state"].get(index, {})
            if state:
                own = sorted(set(state) - {"stale", "theta"})  # which may be there or not
                _same("state", own, needed, f"the checkpoint for {optimizer.called(parameter)}")
            for key, value in state.items():
                if key != "theta" and isinstance(value, Tensor) and value.shape != parameter.shape:
                    raise ValueError(
                        f"the checkpoint's {key} for {optimizer.called(parameter)} has shape {tuple(value.shape)}, the "
                        f"parameter {tuple(parameter.shape)}; give the parameters in the order they were saved in"
                    )


def _same(what: str, saved: Any, present: Any, where: str) -> None:
    if saved != present:
        raise ValueError(
            f"{where} has the {what} {saved!r}, this optimizer's {present!r}; "
            "load it into an optimizer made with the same one"
        )

"""Which parameters of a model are regularized, and what a group is: by layer type, as in the paper, or by rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from optkit import validate
from optkit.core import Regularizer

from .assignment import Assigned, assign
from .layers import Axes, listed
from .rules import Rules, rules_of
from .table import table


def regularize(model: nn.Module, psi: Regularizer | Rules, *, verbose: bool = False) -> list[dict[str, Any]]:
    """Parameter groups for an optimizer: weights of convolutions, Linear, recurrent and attention layers get psi.

    A convolution has one group per input channel, a Linear, recurrent or attention weight one per input column. Biases,
    normalization layers, embeddings (also where a Linear shares their weight) and parameters of other modules are free.
    Axes are chosen so when psi has `axes=None`; axes that are given are kept. Frozen parameters are left out.

    In a convolution with groups > 1 the input channels are no axis of the weight; there psi is put on the view
    (groups, outputs of a group, inputs of a group, ...).

    psi: a Regularizer, or rules for other choices: a mapping {what: regularizer or None} or a sequence of such pairs.
    A parameter gets the regularizer of the first rule that matches it, and is free with None or without such a rule.
    What a rule is for:

    - a module type or a tuple of them: the weights directly in modules of the type (the out_proj of an attention layer
      lies in a Linear). In layers with a default grouping these are the weights that it covers, so that one which an
      embedding shares is the embedding's only; in torch's other layers what has "weight" in its name; in your own
      modules and in containers what has two axes or more;
    - a string: a glob of full parameter names, such as "encoder.*.weight" or "*.bias"; upper and lower case differ;
    - a predicate: a function (name, module, parameter) -> bool, where module is the one that owns the parameter.

    A parameter with several names is listed once, under the first, and matches if it does in one of its places; its
    axes are those of the first layer that matches and has a default grouping, else of the first that has one. A
    regularizer with `axes=None` does not fit a parameter in no such layer: give axes there.

    verbose: print a table of what every parameter gets, and by which rule.

    Returns a list of {"params": [(name, tensor), ...], "regularizer": psi or None}, one for each rule and choice of
    axes, in the order of the rules; the free parameters come last. Raises TypeError for what is no Module, Regularizer
    or rule, ValueError for a rule that matches nothing, only frozen parameters or only those of earlier rules, and for
    axes that do not exist or are not known.

    Reference: RAMDA paper (NeurIPS 2024), section 6.
    """
    validate.instance("model", model, nn.Module, "give the model first, then the regularizer")
    validate.flag("verbose", verbose)
    assigned = assign(model, listed(model), rules_of(psi))
    if verbose:
        print(table(assigned))
    return _groups(assigned)


def _groups(assigned: Sequence[Assigned]) -> list[dict[str, Any]]:
    """One for each rule and choice of axes, the free parameters last."""
    trained = [one for one in assigned if one.listed.parameter.requires_grad]
    regularized = sorted((one for one in trained if one.psi is not None), key=lambda one: one.number)  # a stable sort
    groups: dict[tuple[int, Axes | None], dict[str, Any]] = {}
    for one in regularized:
        group = groups.setdefault((one.number, one.axes), {"params": [], "regularizer": one.psi})
        group["params"].append((one.listed.name, one.listed.parameter))
    free = [(one.listed.name, one.listed.parameter) for one in trained if one.psi is None]
    return [*groups.values(), *([{"params": free, "regularizer": None}] if free else [])]

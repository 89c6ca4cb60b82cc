"""`regularize` by rules: the first rule that matches a parameter decides, and every rule must decide something."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from optkit.core import Regularizer
from optkit.regularizers import L1, GroupLasso, NuclearNorm, OnView, Scaled
from optkit.torch import RAMDA, regularize
from optkit.torch.layers import LAYERS

PSI = GroupLasso(0.1)
COLUMNS = GroupLasso(0.1, axes=(0,))
README = Path(__file__).parents[1] / "README.md"


class Gate(nn.Module):
    """A module with parameters of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.ones(3, 3))
        self.weight = nn.Parameter(torch.ones(3))
        self.rows = nn.ParameterList([torch.ones(2, 3), torch.ones(3)])


class Zoo(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.conv = nn.Conv2d(3, 5, 2)
        self.up = nn.ConvTranspose1d(3, 5, 2)
        self.norm = nn.LayerNorm(4)
        self.lstm = nn.LSTM(3, 4)
        self.cell = nn.GRUCell(3, 4)
        self.attention = nn.MultiheadAttention(4, 2, kdim=3, vdim=5)
        self.bilinear = nn.Bilinear(3, 4, 5)
        self.gate = Gate()
        self.head = nn.Linear(4, 2)


class Language(nn.Module):
    """An embedding whose weight the output layer shares."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.hidden = nn.Linear(4, 4)
        self.output = nn.Linear(4, 7, bias=False)
        self.output.weight = self.embedding.weight


def choice(model: nn.Module, rules: Any) -> dict[str, Regularizer | None]:
    """The regularizer of every parameter by name; each is there once."""
    found = [(name, group["regularizer"]) for group in regularize(model, rules) for name, _ in group["params"]]
    assert len(found) == len(dict(found))
    return dict(found)


def chosen(model: nn.Module, rules: Any) -> set[str]:
    """The names of the regularized parameters."""
    return {name for name, psi in choice(model, rules).items() if psi is not None}


def wide(name: str, module: nn.Module, parameter: nn.Parameter) -> bool:
    return isinstance(module, nn.Linear) and parameter.ndim == 2


# --- what a rule matches ----------------------------------------------------------------------------------------------

MATCHES: dict[str, tuple[Any, set[str]]] = {
    "a type": (nn.Conv2d, {"conv.weight"}),
    "a tuple of types": ((nn.Conv2d, nn.ConvTranspose1d), {"conv.weight", "up.weight"}),
    "a base class": (nn.modules.conv._ConvNd, {"conv.weight", "up.weight"}),
    "Linear, which the attention's last layer is": (nn.Linear, {"head.weight", "attention.out_proj.weight"}),
    "LSTM": (nn.LSTM, {"lstm.weight_ih_l0", "lstm.weight_hh_l0"}),
    "a cell": (nn.GRUCell, {"cell.weight_ih", "cell.weight_hh"}),
    "attention": (nn.MultiheadAttention, {f"attention.{kind}_proj_weight" for kind in "qkv"}),
    "a normalization": (nn.LayerNorm, {"norm.weight"}),
    "an embedding": (nn.Embedding, {"embedding.weight"}),
    "a type without a default grouping": (nn.Bilinear, {"bilinear.weight"}),
    "a class of one's own": (Gate, {"gate.matrix"}),
    "a list of parameters": (nn.ParameterList, {"gate.rows.0"}),
    "a name": ("head.bias", {"head.bias"}),
    "a glob": (
        "*.bias",
        {"conv.bias", "up.bias", "norm.bias", "attention.out_proj.bias", "bilinear.bias", "head.bias"},
    ),
    "all below a module": (
        "gate.*",
        {"gate.matrix", "gate.weight", "gate.rows.0", "gate.rows.1"},
    ),
    "a choice of letters": ("[ch]*.bias", {"conv.bias", "head.bias"}),
    "a predicate": (wide, {"head.weight", "attention.out_proj.weight"}),
    "a predicate of the name": (lambda name, module, parameter: name.startswith("norm"), {"norm.weight", "norm.bias"}),
}


@pytest.mark.parametrize("case", MATCHES)
def test_what_a_rule_matches_gets_its_regularizer_and_all_else_is_free(case: str) -> None:
    what, expected = MATCHES[case]
    model = Zoo()
    assert chosen(model, {what: L1(0.1)}) == chosen(model, [(what, L1(0.1))]) == expected
    assert set(choice(model, {what: L1(0.1)})) == {name for name, _ in model.named_parameters()}


@pytest.mark.parametrize("psi", [PSI, L1(0.1)], ids=str)
def test_a_regularizer_alone_is_the_rule_of_all_layers_with_a_default_grouping(psi: Regularizer) -> None:
    assert choice(Zoo(), psi) == choice(Zoo(), {LAYERS: psi})


def test_a_predicate_is_given_the_module_that_owns_the_parameter() -> None:
    model, seen = Zoo(), {}

    def record(name: str, module: nn.Module, parameter: nn.Parameter) -> bool:
        seen[name] = parameter
        assert any(parameter is own for own in module.parameters(recurse=False))
        return True

    regularize(model, {record: L1(0.1)})
    assert seen == dict(model.named_parameters())


def test_a_class_with_a_call_is_a_type() -> None:
    assert chosen(Zoo(), {Gate: L1(0.1)}) == {"gate.matrix"} and callable(Gate)


# --- which rule decides -----------------------------------------------------------------------------------------------

GLOBS = ("*", "*.weight", "*.bias", "head.*", "conv.*", "norm.weight", "[a-c]*")


@given(st.lists(st.tuples(st.sampled_from(GLOBS), st.sampled_from((None, L1(1.0), L1(2.0), L1(3.0)))), min_size=1))
def test_the_first_rule_that_matches_decides_or_some_rule_has_nothing_to_decide(
    rules: list[tuple[str, Regularizer | None]],
) -> None:
    model = nn.ModuleDict({"conv": nn.Conv1d(2, 2, 1), "norm": nn.LayerNorm(2), "head": nn.Linear(2, 2)})
    tests = [(re.compile(glob.replace(".", r"\.").replace("*", ".*") + r"\Z"), psi) for glob, psi in rules]
    first = {
        name: next((i for i, (test, _) in enumerate(tests) if test.match(name)), None)
        for name, _ in model.named_parameters()
    }
    if set(range(len(rules))) <= set(first.values()):
        assert choice(model, rules) == {name: None if i is None else rules[i][1] for name, i in first.items()}
    else:
        with pytest.raises(ValueError, match=r"only parameters that earlier rules take"):
            regularize(model, rules)


def test_an_exclusion() -> None:
    assert chosen(Zoo(), {"head.*": None, (nn.Linear, nn.Conv2d): PSI}) == {"conv.weight", "attention.out_proj.weight"}


def test_all_may_be_free() -> None:
    model = nn.Linear(3, 2)
    assert choice(model, {"*": None}) == {"weight": None, "bias": None}


def test_there_is_a_group_for_each_rule_and_choice_of_axes_and_the_free_come_last() -> None:
    rules = [("head.weight", L1(0.3)), (LAYERS, PSI), ("*.bias", L1(0.3))]
    groups = regularize(Zoo(), rules)
    found = [group["regularizer"] for group in groups]
    assert found[0] == found[-2] == L1(0.3) and found[-1] is None
    assert len(set(found[1:-2])) == len(found[1:-2])
    assert all(isinstance(psi, GroupLasso) for psi in found[1:-2])


def test_what_chooses_no_axes_makes_one_group() -> None:
    assert [group["regularizer"] for group in regularize(Zoo(), L1(0.1))] == [L1(0.1), None]


def test_frozen_parameters_are_left_out() -> None:
    model = Zoo()
    model.head.weight.requires_grad_(False)
    assert choice(model, {nn.Linear: PSI, "*.bias": L1(0.1)}).keys() == {
        name for name, parameter in model.named_parameters() if parameter.requires_grad
    }


def test_the_groups_train() -> None:
    model = Zoo()
    optimizer = RAMDA(regularize(model, {"*.bias": L1(1e3), LAYERS: GroupLasso(1e3), Gate: NuclearNorm(1e3)}), lr=0.1)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    assert all(manifold.dimension == 0 for manifold in optimizer.structure().values())
    assert {"gate.matrix", "norm.bias", "up.weight"} < set(optimizer.structure())


# --- axes -------------------------------------------------------------------------------------------------------------


def test_axes_are_filled_in_by_layer_type_whatever_the_rule() -> None:
    grouped = OnView(GroupLasso(0.1, axes=(1, 3, 4)), (2, 2, 2, 3, 3))
    model = nn.ModuleDict({"grouped": nn.Conv2d(4, 4, 3, groups=2), "plain": nn.Conv2d(3, 5, 2), "fc": nn.Linear(2, 2)})
    expected = {"grouped.weight": grouped, "plain.weight": GroupLasso(0.1, axes=(0, 2, 3)), "fc.weight": COLUMNS}
    for what in ("*.weight", LAYERS, lambda name, module, parameter: "weight" in name):
        assert choice(model, {what: PSI}) == {**expected, **dict.fromkeys(("grouped.bias", "plain.bias", "fc.bias"))}
    assert choice(model, {"grouped.weight": Scaled(PSI, 2.0)})["grouped.weight"] == Scaled(grouped, 2.0)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("head.bias", r"head.bias of shape \(2,\): GroupLasso has axes=None.*give axes=0 for one group of all entries"),
        ("head.*", r"head.bias of shape \(2,\).*\('head.bias', None\) before rule 1 \('head.\*'\)"),
        (nn.LayerNorm, r"norm.weight of shape \(4,\): .*use L1 for groups of one entry"),
        (nn.Embedding, r"embedding.weight of shape \(7, 4\): .*give axes"),
        (nn.Bilinear, r"bilinear.weight of shape \(5, 3, 4\): .*give axes"),
        (Gate, r"gate.matrix of shape \(3, 3\): .*give axes"),
    ],
    ids=str,
)
@pytest.mark.parametrize("psi", [PSI, Scaled(PSI, 2.0)], ids=["GroupLasso", "Scaled"])
def test_axes_that_no_layer_knows_are_to_be_given(what: Any, words: str, psi: Regularizer) -> None:
    if isinstance(psi, Scaled):
        words = words.replace("GroupLasso", "Scaled")
    with pytest.raises(ValueError, match=words):
        regularize(Zoo(), {what: psi})
    assert chosen(Zoo(), {what: GroupLasso(0.1, axes=0)})


def test_a_number_needs_l1() -> None:
    model = nn.Module()
    model.scale = nn.Parameter(torch.tensor(1.0))
    with pytest.raises(ValueError, match="use L1"):
        regularize(model, {"scale": PSI})
    assert chosen(model, {"scale": L1(0.1)}) == {"scale"}


def test_what_does_not_fit_a_shape_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"^conv.weight: NuclearNorm needs a matrix"):
        regularize(Zoo(), {"head.weight": L1(0.1), "conv.*": NuclearNorm(0.1)})


# --- several places ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["output.*", "embedding.weight", nn.Embedding, (nn.Linear, nn.Embedding)], ids=str)
def test_a_weight_shared_with_an_embedding_is_regularized_where_it_is_named(what: Any) -> None:
    found = choice(Language(), {what: PSI})
    assert found["embedding.weight"] == COLUMNS and "output.weight" not in found


def test_a_rule_for_linear_leaves_a_weight_shared_with_an_embedding() -> None:
    assert chosen(Language(), PSI) == chosen(Language(), {nn.Linear: PSI}) == {"hidden.weight"}


def test_a_rule_for_one_place_takes_the_weight_from_all() -> None:
    model = nn.ModuleDict({"first": nn.Linear(3, 3), "second": nn.Linear(3, 3)})
    model["second"].weight = model["first"].weight
    with pytest.raises(ValueError, match=r"first.weight \(by 'second.\*'\)"):
        regularize(model, {"second.*": None, "first.weight": PSI})
    assert chosen(model, {"second.weight": PSI}) == {"first.weight"}


def test_a_module_under_two_names_matches_by_either() -> None:
    layer = nn.Linear(3, 3)
    model = nn.ModuleDict({"encoder": layer, "decoder": layer})
    assert choice(model, {"decoder.*": L1(0.1)}) == {"encoder.weight": L1(0.1), "encoder.bias": L1(0.1)}


def test_the_axes_are_those_of_the_layer_that_matches() -> None:
    """An autoencoder with one weight (inner, outer, width): its inputs are outer, and inner on the way back."""
    model = nn.ModuleDict({"encoder": nn.Conv1d(3, 5, 2), "decoder": nn.ConvTranspose1d(5, 3, 2)})
    model["decoder"].weight = model["encoder"].weight
    inwards, outwards = GroupLasso(0.1, axes=(0, 2)), GroupLasso(0.1, axes=(1, 2))
    for what, psi in {
        "*": inwards,
        nn.Conv1d: inwards,
        "decoder.*": outwards,
        nn.ConvTranspose1d: outwards,
    }.items():
        rules = [("*.bias", None), (what, PSI)]
        assert choice(model, rules)["encoder.weight"] == psi
    assert choice(model, PSI)["encoder.weight"] == inwards


# --- what is refused --------------------------------------------------------------------------------------------------


def network() -> nn.Module:
    model = nn.ModuleDict(
        {
            "encoder": nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)),
            "norm": nn.LayerNorm(4),
            "frozen": nn.Linear(4, 4),
            "fc": nn.Linear(4, 2),
        }
    )
    model["frozen"].requires_grad_(False)
    return model


def never(name: str, module: nn.Module, parameter: nn.Parameter) -> bool:
    return False


def forgets(name: str, module: nn.Module, parameter: nn.Parameter) -> Any:
    return re.match("fc", name)


class NormOfOnesOwn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))


REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "misspelt": ({"fc.wieght": L1(1)}, ValueError, r"rule 1 \('fc.wieght'\) matches no parameter.* are fc.weight"),
    "misspelt glob": ({"encoder.*.wieght": L1(1)}, ValueError, r"nearest names are encoder\.\d\.weight, encoder"),
    "misspelt start": ({"encodr.*.weight": L1(1)}, ValueError, r"nearest names are encoder\.\d\.weight, encoder"),
    "a module's name": ({"fc": L1(1)}, ValueError, r"nearest names are fc\.\w+, fc\.\w+"),
    "upper case": ({"FC.weight": L1(1)}, ValueError, r"nearest names are .*fc\.weight"),
    "an exclusion too": ({nn.Linear: L1(1), "fx.*": None}, ValueError, r"rule 2 \('fx.\*'\) matches no parameter"),
    "no such type": ({nn.Conv2d: L1(1)}, ValueError, r"rule 1 \('Conv2d'\) .* of the types LayerNorm, Linear; .*glob"),
    "a container": ({nn.Sequential: L1(1)}, ValueError, r"directly in modules of the types LayerNorm, Linear"),
    "a predicate": ({never: L1(1)}, ValueError, r"rule 1 \('never'\) .*returned False for all 10 parameters"),
    "taken": (
        [(nn.Linear, L1(1)), ("fc.weight", None)],
        ValueError,
        r"rule 2 \('fc.weight'\) matches only parameters that earlier rules take: fc.weight \(by 'Linear'\); .*first",
    ),
    "twice": ([("fc.*", L1(1)), ("fc.*", None)], ValueError, r"rule 2 .* earlier rules take: fc.weight \(by 'fc.\*'\)"),
    "frozen": ({"frozen.*": L1(1)}, ValueError, r"only frozen parameters: frozen.weight, frozen.bias; unfreeze"),
    "no regularizer": (
        {"fc.*": 0.1},
        TypeError,
        r"the regularizer of rule 1 \('fc.\*'\) must be a Regularizer, got 0.1",
    ),
    "the class": ({"fc.*": L1}, TypeError, r"must be a Regularizer, got the class L1; .*or None to leave"),
    "a number for a rule": ({3: L1(1)}, TypeError, r"rule 1 must be for a module type .* glob .* predicate .*; got 3"),
    "no type": ({(): L1(1)}, TypeError, r"rule 1 must be for a module type or a tuple of them"),
    "mixed": ({("fc.*", nn.Linear): L1(1)}, TypeError, r"rule 1 must be for a module type or a tuple of them"),
    "swapped": ({L1(1): nn.Linear}, TypeError, r"rule 1 must be for a module type .*; got L1\(strength=1"),
    "a module": ({nn.Linear(2, 2): L1(1)}, TypeError, r"rule 1 is for a module, Linear\(...\); give its type, Linear"),
    "no bool": (
        {forgets: L1(1)},
        TypeError,
        r"the predicate forgets must return True or False, got None .*bool\(...\)",
    ),
    "empty mapping": ({}, ValueError, r"psi has no rule; give at least one"),
    "empty list": ([], ValueError, r"psi has no rule"),
    "a pattern alone": ("fc.*", TypeError, r"psi must be a Regularizer, got 'fc.\*' of type str; .*or rules such as"),
    "one pair": (("fc.*", L1(1)), TypeError, r"rule 1 must be a pair .* got 'fc.\*' of type str; give a list of pairs"),
    "two letters": (["fc"], TypeError, r"rule 1 must be a pair .* got 'fc'"),
    "three": ([("fc.*", L1(1), 2)], TypeError, r"rule 1 must be a pair"),
    "none": (None, TypeError, r"psi must be a Regularizer, got None"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_and_nothing_is_printed(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    rules, error, words = REFUSED[case]
    with pytest.raises(error, match=words):
        regularize(network(), rules, verbose=True)
    assert capsys.readouterr().out == ""


def test_a_type_that_is_there_but_has_no_weight_is_told_so() -> None:
    with pytest.raises(ValueError, match=r"the type has weight, .*of your own what has two axes.*glob"):
        regularize(NormOfOnesOwn(), {NormOfOnesOwn: L1(1)})
    assert chosen(NormOfOnesOwn(), {"weight": L1(1)}) == {"weight"}
    model = nn.ModuleDict({"embedding": nn.Embedding(7, 4), "output": nn.Linear(4, 7, bias=False)})
    model["output"].weight = model["embedding"].weight
    with pytest.raises(ValueError, match=r"the type has output.weight, .*shares only by the embedding's type"):
        regularize(model, {nn.Linear: PSI})


def test_names_that_hold_a_part_of_the_glob_are_nearest() -> None:
    model = nn.ModuleDict({"encode_weight": nn.Linear(1, 1), "encoder": nn.ModuleDict({"first_of_all": nn.LSTM(1, 1)})})
    with pytest.raises(ValueError, match=r"the nearest names are encoder.first_of_all.weight_\w+, "):
        regularize(model, {"encoder.*.wieght": L1(1)})


def test_many_names_are_cut_short() -> None:
    model = nn.Sequential(*(nn.Linear(1, 1) for _ in range(9)))
    with pytest.raises(ValueError, match=r"0.bias \(by '\*'\), .*4.bias \(by '\*'\) and 4 more; put this rule first"):
        regularize(model, {"*": None, "*.bias": L1(1)})


def test_a_model_without_parameters() -> None:
    with pytest.raises(ValueError, match=r"rule 1 \('\*'\) matches no parameter; the model has no parameters"):
        regularize(nn.Sequential(), {"*": L1(1)})
    with pytest.raises(ValueError, match=r"modules of the types none"):
        regularize(nn.Sequential(), {nn.Linear: L1(1)})


def test_a_lazy_module_has_no_shape() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some releases of torch warn of lazy modules
        model = nn.LazyLinear(3)
    with pytest.raises(ValueError, match=r"weight has no shape yet: .*run a batch through the model first"):
        regularize(model, PSI)


@pytest.mark.parametrize("make", [lambda: nn.Linear(3, 3), lambda: nn.LSTM(3, 3)], ids=["Linear", "LSTM"])
def test_a_computed_weight_is_refused_to_a_type_and_left_to_names(make: Callable[[], nn.Module]) -> None:
    model = nn.Sequential(make(), nn.Linear(3, 2))
    key = next(name for name, _ in model[0].named_parameters() if "weight" in name)
    nn.utils.parametrizations.weight_norm(model[0], key)
    for rules in (PSI, {LAYERS: PSI}, {"1.*": None, type(model[0]).__mro__[1]: PSI}):
        with pytest.raises(ValueError, match=r"^0: its weight is computed .*\('0.\*', None\)"):
            regularize(model, rules)
    assert chosen(model, {"0.*": None, LAYERS: PSI}) == {"1.weight"}
    original = f"0.parametrizations.{key}.original1"
    assert chosen(model, {original: COLUMNS}) == {original}
    assert chosen(model, [("1.*", L1(0.1)), (original, COLUMNS)]) == {"1.weight", "1.bias", original}
    assert chosen(model, [(LAYERS, None), (original, COLUMNS)]) == {original}
    assert chosen(model, {"1.weight": PSI}) == {"1.weight"}


# --- README -----------------------------------------------------------------------------------------------------------


def test_the_example_in_the_readme_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    text = README.read_text(encoding="utf-8")
    ((example, printed),) = re.findall(
        r"```py\n((?:(?!```).)*verbose=True.*?)```\n\n```text\n(.*?)```", text, re.DOTALL
    )
    model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 1))
    exec(example, {"nn": nn, "GroupLasso": GroupLasso, "RAMDA": RAMDA, "regularize": regularize, "model": model})
    assert capsys.readouterr().out == printed

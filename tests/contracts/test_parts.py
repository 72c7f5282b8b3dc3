"""The law of every part: its fields are its configuration, written as data, as code, and back."""

import copy
import dataclasses
import inspect
import json
import math
import pickle
import typing
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lambent.errors import UsageError
from lambent.model import LatentModel
from lambent.model.trace import from_prior
from lambent.objectives import Objective
from lambent.part import Part, Spec, class_named, families, family, registered

Vary = Callable[[type[Part]], list[Spec]]
Assembled = Callable[..., tuple[LatentModel, Tensor]]


def of(part: type[Part], vary: Vary) -> list[Part]:
    """The part with its defaults and with every field varied."""
    kind = family(part)
    return [part(), *(kind.from_spec(spec) for spec in vary(kind) if spec["type"] == part.__name__)]


def test_it_says_what_it_is(part: type[Part]) -> None:
    assert part.__doc__, "a part has a docstring"
    made_up = part.__name__ + str(inspect.signature(part)).replace(" -> None", "")
    assert part.__doc__ != made_up, "the docstring is the one that dataclasses write"
    for field in dataclasses.fields(part):
        assert field.metadata.get("meaning"), f"{field.name} says nothing of what it means"
        assert "\n" not in field.metadata["meaning"]
        assert typing.get_type_hints(part)[field.name] is not typing.Any


def test_it_is_known_by_its_name(part: type[Part]) -> None:
    assert class_named(family(part), part.__name__) is part
    assert registered(family(part))[part.__name__] is part


def test_spec_and_from_spec_are_inverse_through_json(part: type[Part], vary: Vary) -> None:
    for instance in of(part, vary):
        spec = instance.spec()
        written = json.dumps(spec, allow_nan=False)
        again = family(part).from_spec(json.loads(written))
        assert type(again) is part
        assert again.spec() == spec
        assert json.dumps(again.spec()) == written
        assert spec["type"] == part.__name__


def test_a_bare_name_stands_for_the_defaults(part: type[Part]) -> None:
    assert family(part).from_spec(part.__name__).spec() == part().spec()
    assert family(part).from_spec({"type": part.__name__}).spec() == part().spec()
    own = part()
    assert family(part).from_spec(own) is own


class _Names(dict[str, typing.Any]):
    """Every name that a repr may use, read as a description: the same name may stand in two families."""

    def __missing__(self, name: str) -> Callable[..., Spec]:
        return lambda **fields: {"type": name, **fields}


def test_repr_is_the_code_that_makes_it(part: type[Part], vary: Vary) -> None:
    for instance in of(part, vary):
        described = eval(repr(instance), {}, _Names())
        assert family(part).from_spec(described).spec() == instance.spec()
        assert "\n" not in repr(instance)


def test_two_of_a_kind_share_nothing(part: type[Part]) -> None:
    first, second = part(), part()
    for field in dataclasses.fields(part):
        value = getattr(first, field.name)
        if isinstance(value, Part):
            assert value is not getattr(second, field.name)


def test_copies_before_setup(part: type[Part], vary: Vary) -> None:
    for instance in of(part, vary):
        for other in (copy.deepcopy(instance), copy.copy(instance), pickle.loads(pickle.dumps(instance))):
            assert type(other) is part
            assert other.spec() == instance.spec()


def test_an_unknown_field_is_refused_with_the_nearest(part: type[Part]) -> None:
    for field in dataclasses.fields(part):
        if len(field.name) < 3:
            continue  # its neighbour is as near
        misspelt = field.name[:-1] + "q"
        with pytest.raises(UsageError, match=f"did you mean '{field.name}'"):
            family(part).from_spec({"type": part.__name__, misspelt: 1})
    with pytest.raises(UsageError, match="no field 'zzzz'"):
        family(part).from_spec({"type": part.__name__, "zzzz": 1})


def test_an_unknown_name_is_refused_with_the_nearest(part: type[Part]) -> None:
    misspelt = part.__name__[:-1] + "q"
    with pytest.raises(UsageError, match=f"did you mean '{part.__name__}'"):
        family(part).from_spec(misspelt)


@pytest.mark.parametrize("broken", [None, 3, [], {}, {"type": 3}, {"kind": "Elbo"}, {"type": None}])
def test_what_describes_no_part_is_refused(part: type[Part], broken: object) -> None:
    with pytest.raises(UsageError, match="described by"):
        family(part).from_spec(broken)


def test_values_out_of_range_are_refused(part: type[Part]) -> None:
    hints = typing.get_type_hints(part)
    for field in dataclasses.fields(part):
        limits = {"minimum": -1, "maximum": 1, "above": 0, "below": 0}
        for rule, step in limits.items():
            if rule not in field.metadata:
                continue
            hint, wrong = str(hints[field.name]), field.metadata[rule] + step
            wrong = int(wrong) if "int" in hint else wrong
            if "tuple[" in hint:
                wrong = [wrong] * (1 if "..." in hint else hint.count("int"))
            with pytest.raises(UsageError, match=rf"{part.__name__}\.{field.name} must be (at|above|below)"):
                part(**{field.name: wrong})


def test_values_of_another_kind_are_refused(part: type[Part]) -> None:
    wrongs = [object(), math.nan, math.inf, -math.inf, "nan", "inf", b"bytes", {"a": 1}, [[1]], 1 + 2j]
    for field in dataclasses.fields(part):
        for wrong in wrongs:
            if isinstance(wrong, str) and "str" in str(typing.get_type_hints(part)[field.name]):
                continue  # any text is text
            with pytest.raises(UsageError):
                part(**{field.name: wrong})


def test_a_number_is_no_truth_value_and_text_no_whole_number(part: type[Part]) -> None:
    for field in dataclasses.fields(part):
        hint = typing.get_type_hints(part)[field.name]
        if hint in (int, float):
            with pytest.raises(UsageError, match=field.name):
                part(**{field.name: True})
        if hint is int:
            for wrong in (1.5, "3"):
                with pytest.raises(UsageError, match=field.name):
                    part(**{field.name: wrong})
        if hint is bool:
            with pytest.raises(UsageError, match=field.name):
                part(**{field.name: 1})


def test_whole_numbers_have_an_upper_limit(part: type[Part]) -> None:
    """No description, whoever wrote it, asks for a billion layers; the limit itself is taken, and one more refused by it."""
    for field in dataclasses.fields(part):
        hint = typing.get_type_hints(part)[field.name]
        listed = typing.get_origin(hint) is tuple and typing.get_args(hint)[0] is int
        if hint is int or listed:
            assert "maximum" in field.metadata, f"{field.name} has no maximum"
            most = field.metadata["maximum"]
            assert getattr(part(**{field.name: [most] if listed else most}), field.name) in (most, (most,))
            with pytest.raises(UsageError, match=f"{field.name} must be at most {most}, not {most + 1}"):
                part(**{field.name: [most + 1] if listed else most + 1})


def test_yaml_reads_an_exponent_as_text_and_the_field_as_a_number(part: type[Part]) -> None:
    for field in dataclasses.fields(part):
        if typing.get_type_hints(part)[field.name] is float:
            low = field.metadata.get("minimum", field.metadata.get("above", 0))
            given = f"{max(low, 0) + 1e-3:.4e}"
            if float(given) <= field.metadata.get("maximum", math.inf):
                assert getattr(part(**{field.name: given}), field.name) == float(given)


def test_an_empty_list_is_refused_unless_it_is_the_default(part: type[Part]) -> None:
    for field in dataclasses.fields(part):
        if typing.get_origin(typing.get_type_hints(part)[field.name]) is not tuple:
            continue
        if field.default == ():
            assert getattr(part(**{field.name: []}), field.name) == ()
        else:
            with pytest.raises(UsageError, match="at least one entry"):
                part(**{field.name: []})


def test_families_are_abstract_and_open() -> None:
    names = {kind.__name__ for kind in families()}
    assert {"Likelihood", "Prior", "Posterior", "Latent", "Network", "Objective"} <= names
    for kind in families():
        assert registered(kind), f"{kind.__name__} has no member"
        with pytest.raises(TypeError, match="abstract"):
            kind()


def test_a_part_of_another_family_is_refused() -> None:
    with pytest.raises(UsageError, match="is no Prior"):
        class_named(Part, "Flat").from_spec({"type": "Flat", "prior": class_named(Part, "Diagonal")()})


def test_a_class_defined_twice_counts_once() -> None:
    """As a notebook's cell that is run again."""
    made = []
    for meaning in (1, 2):

        class Again(Objective):
            """A stand-in."""

            forward = None

        Again.meaning = meaning
        made.append(Again)
    try:
        assert [c for c in Part._classes if c.__name__ == "Again"] == [made[1]]
        assert class_named(Objective, "Again").meaning == 2
    finally:
        Part._classes.remove(made[1])


# ---- in a model --------------------------------------------------------------------------------------------------


def test_copies_after_setup_give_the_same_numbers(any_role: tuple[str, Spec], assembled: Assembled) -> None:
    name, spec = any_role
    model, x = assembled(**{name: spec})
    before = numbers(model, x)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert all(torch.equal(a, b) for a, b in zip(numbers(other, x), before, strict=True))
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.add_(1.0)
        again = numbers(model, x)
        assert all(torch.equal(a, b) for a, b in zip(again, before, strict=True)), "the copy shares weights"


def numbers(model: LatentModel, x: Tensor) -> list[Tensor]:
    torch.manual_seed(0)
    if not model.eval().latent.encodes:
        generator = torch.Generator(model.device).manual_seed(0)
        return [model.generate(len(x), from_prior(generator)).log_prob(model.likelihood.observe(x))]
    trace = model.trace(x, 2)
    return [trace.log_px, trace.kl, trace.z]


def test_copies_of_an_objective_after_a_pass(any_objective_spec: Spec, assembled: Assembled) -> None:
    model, x = assembled(objective=any_objective_spec)
    objective = Objective.from_spec(any_objective_spec)
    if objective.refusal(model):
        pytest.skip("refused with the plain model")
    objective.setup(model)
    objective.to(model.device)
    generator = torch.Generator(model.device)
    loss = objective(model, x, generator.manual_seed(0)).rows
    for other in (copy.deepcopy(objective), pickle.loads(pickle.dumps(objective))):
        assert torch.equal(other(model, x, generator.manual_seed(0)).rows, loss)
        assert other.state_dict().keys() == objective.state_dict().keys()


def test_a_set_up_part_loads_its_own_weights(any_role: tuple[str, Spec], assembled: Assembled) -> None:
    """All that was learned is in the state: a fresh model of the same spec takes it and gives the same numbers."""
    name, spec = any_role
    model, x = assembled(**{name: spec})
    fresh, _ = assembled(seed=1, **{name: spec})
    fresh.load_state_dict(model.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(numbers(fresh, x), numbers(model, x), strict=True))

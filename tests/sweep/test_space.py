from __future__ import annotations

import math
from typing import Any

import pytest

from firm_lightning.sweep.space import Parameter, Space


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "give one of uniform, log_uniform, integer, log_integer, choice, not none"),
        (
            {"uniform": (0.0, 1.0), "choice": [1, 2]},
            "give one of uniform, log_uniform, integer, log_integer, choice, not uniform and choice",
        ),
        ({"uniform": (2.0, 1.0)}, "uniform [2.0, 1.0]: give the lowest value, then a higher one"),
        ({"uniform": (0.0, math.inf)}, "uniform [0.0, inf]: give the lowest value, then a higher one"),
        ({"log_uniform": (0.0, 1.0)}, "log_uniform [0.0, 1.0]: give the lowest value above 0, then a higher one"),
        ({"log_integer": (0, 8)}, "log_integer [0, 8]: give the lowest value above 0, then a higher one"),
        ({"choice": ["a"]}, "choice ['a'] must hold at least two values, all different"),
        ({"choice": ["a", "a"]}, "choice ['a', 'a'] must hold at least two values, all different"),
        ({"choice": ["a", "b"], "points": 2}, "points are for ranges; a grid tries every choice"),
        ({"integer": (1, 9), "points": 1}, "points 1: a grid needs at least 2, the ends of the range"),
        ({"uniform": (0.0, 1.0), "when": {"b": 1}}, "when names 'b', which is no key of the space"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as error:
        Space({"a": Parameter(**given)})
    assert str(error.value) == f"space: a: {message}"


def test_conditions_are_checked() -> None:
    with pytest.raises(ValueError, match=r"^space is empty: name at least one config key and its values$"):
        Space({})
    kind = Parameter(choice=["a", "b"])
    with pytest.raises(
        ValueError, match=r"^space: x: when kind is 'c': that is none of its values \(choice \['a', 'b'\]\)$"
    ):
        Space({"kind": kind, "x": Parameter(uniform=(0.0, 1.0), when={"kind": ["a", "c"]})})
    circle = {"a": Parameter(choice=[1, 2], when={"b": 1}), "b": Parameter(choice=[1, 2], when={"a": 1})}
    with pytest.raises(ValueError, match=r"^space: the conditions of a, b depend on each other in a circle$"):
        Space(circle)


def test_a_key_is_set_only_when_another_has_a_value() -> None:
    lora = {"class_path": "a.Lora"}
    space = Space(
        {
            "rank": Parameter(choice=[4, 8], when={"tuning": [lora]}),
            "deep": Parameter(choice=[True, False], when={"rank": 8}),
            "tuning": Parameter(choice=[lora, None]),
        }
    )
    assert list(space.parameters) == ["tuning", "rank", "deep"], "each after those it depends on"
    text = '{"class_path": "a.Lora"}'
    assert space.grid() == [
        {"tuning": text, "rank": 4},
        {"tuning": text, "rank": 8, "deep": True},
        {"tuning": text, "rank": 8, "deep": False},
        {"tuning": None},
    ]
    asked = []

    def last(key: str, parameter: Parameter) -> Any:
        asked.append(key)
        return parameter.values[-1]

    assert space.choose(last) == {"tuning": None}
    assert asked == ["tuning"]


def test_one_is_not_true() -> None:
    space = Space({"a": Parameter(choice=[1, 2]), "b": Parameter(uniform=(0.0, 1.0), when={"a": 1})})
    assert space.is_active("b", {"a": 1}) and not space.is_active("b", {"a": True})


@pytest.mark.parametrize(
    ("given", "wanted", "said"),
    [
        ({"integer": (4, 16)}, 99, "integer [4, 16]"),
        ({"integer": (4, 16)}, 8.0, "integer [4, 16]"),
        ({"integer": (0, 16)}, True, "integer [0, 16]"),
        ({"uniform": (0.5, 2.0), "points": 3}, [1, 2.5], "uniform [0.5, 2.0], points 3"),
        ({"uniform": (0.5, 2.0)}, "1", "uniform [0.5, 2.0]"),
        ({"choice": [1, 2]}, True, "choice [1, 2]"),
    ],
)
def test_a_condition_names_values_that_there_are(given: dict[str, Any], wanted: Any, said: str) -> None:
    with pytest.raises(ValueError) as error:
        Space({"a": Parameter(**given), "x": Parameter(uniform=(0.0, 1.0), when={"a": wanted})})
    wrong = wanted[-1] if isinstance(wanted, list) else wanted
    assert str(error.value) == f"space: x: when a is {wrong!r}: that is none of its values ({said})"


def test_a_key_that_is_never_set_is_refused() -> None:
    parameters = {
        "kind": Parameter(choice=["a", "b"]),
        "deep": Parameter(choice=[True, False], when={"kind": "b"}),
        "x": Parameter(uniform=(0.0, 1.0), when={"kind": ["a", "b"], "deep": True}),
    }
    assert {"kind": "b", "deep": True, "x": 0.0} in list(Space(parameters).examples())
    parameters["x"] = Parameter(uniform=(0.0, 1.0), when={"kind": "a", "deep": True})
    with pytest.raises(ValueError) as error:
        Space(parameters)
    assert str(error.value) == "space: x is never set: its conditions ask for different values of kind"


def test_examples_hold_every_key_and_every_choice() -> None:
    space = Space(
        {
            "kind": Parameter(choice=["a", "b", "c"]),
            "x": Parameter(uniform=(0.5, 1.0)),
            "y": Parameter(integer=(1, 5), when={"kind": "b"}),
            "z": Parameter(choice=["u", "v"], when={"kind": ["b", "c"]}),
        }
    )
    assert list(space.examples()) == [
        {"kind": "a", "x": 0.5},
        {"kind": "b", "x": 0.5, "y": 1, "z": "u"},
        {"kind": "c", "x": 0.5, "z": "v"},
    ]


def test_examples_are_as_few_as_the_longest_choice() -> None:
    space = Space(
        {"a": Parameter(choice=[1, 2, 3, 4]), "b": Parameter(choice=["u", "v"]), "c": Parameter(choice=[8, 9])}
    )
    assert list(space.examples()) == [
        {"a": 1, "b": "u", "c": 8},
        {"a": 2, "b": "v", "c": 9},
        {"a": 3, "b": "u", "c": 8},
        {"a": 4, "b": "u", "c": 8},
    ]


def test_examples_hold_keys_that_depend_on_a_number_inside_a_range() -> None:
    space = Space(
        {
            "rank": Parameter(integer=(4, 16)),
            "x": Parameter(choice=[0.1, 0.2], when={"rank": 8}),
            "y": Parameter(choice=[1, 2], when={"x": 0.2}),
        }
    )
    assert list(space.examples()) == [
        {"rank": 4},
        {"rank": 8, "x": 0.1},
        {"rank": 8, "x": 0.2, "y": 1},
        {"rank": 8, "x": 0.2, "y": 2},
    ]


@pytest.mark.parametrize(
    ("given", "grid"),
    [
        ({"uniform": (0.0, 1.0), "points": 3}, [0.0, 0.5, 1.0]),
        ({"integer": (1, 3)}, [1, 2, 3]),
        ({"log_integer": (1, 16), "points": 5}, [1, 2, 4, 8, 16]),
        ({"integer": (1, 2), "points": 4}, [1, 2]),
        ({"choice": ["a", None]}, ["a", None]),
    ],
)
def test_grid(given: dict[str, Any], grid: list[Any]) -> None:
    found = Parameter(**given).grid()
    assert found == grid and list(map(type, found)) == list(map(type, grid))


def test_a_grid_of_a_logarithmic_range() -> None:
    found = Parameter(log_uniform=(1.0, 100.0), points=3).grid()
    assert found == [1.0, pytest.approx(10.0, rel=1e-12), 100.0], "both ends are exact"


def test_a_grid_needs_points() -> None:
    with pytest.raises(ValueError, match="^space: k: a grid needs points, the number of values to try of this range$"):
        Space({"k": Parameter(uniform=(0.0, 1.0))}).grid()

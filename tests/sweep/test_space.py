from __future__ import annotations

import math
from typing import Any

import pytest
import yaml

from firm_lightning.sweep.space import Parameter, Space
from firm_lightning.sweep.values import as_flag, flags


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
    with pytest.raises(ValueError, match=r"^space: x: when kind is 'c': that is none of its choices \['a', 'b'\]$"):
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


def test_examples_set_every_key() -> None:
    space = Space(
        {
            "kind": Parameter(choice=["a", "b", "c"]),
            "x": Parameter(uniform=(0.5, 1.0)),
            "y": Parameter(integer=(1, 5), when={"kind": "b"}),
            "z": Parameter(choice=["u", "v"], when={"kind": "c"}),
        }
    )
    assert list(space.examples()) == [
        {"kind": "a", "x": 0.5},
        {"kind": "b", "x": 0.5, "y": 1},
        {"kind": "c", "x": 0.5, "z": "u"},
    ]


@pytest.mark.parametrize(
    ("given", "grid"),
    [
        ({"uniform": (0.0, 1.0), "points": 3}, [0.0, 0.5, 1.0]),
        ({"log_uniform": (1.0, 100.0), "points": 3}, [1.0, 10.0, 100.0]),
        ({"integer": (1, 3)}, [1, 2, 3]),
        ({"log_integer": (1, 16), "points": 5}, [1, 2, 4, 8, 16]),
        ({"integer": (1, 2), "points": 4}, [1, 2]),
        ({"choice": ["a", None]}, ["a", None]),
    ],
)
def test_grid(given: dict[str, Any], grid: list[Any]) -> None:
    assert Parameter(**given).grid() == pytest.approx(grid, rel=1e-12) if "log" in str(given) else grid
    assert [c["k"] for c in Space({"k": Parameter(**given)}).grid()] == Parameter(**given).grid()


def test_a_grid_needs_points() -> None:
    with pytest.raises(ValueError, match="^space: k: a grid needs points, the number of values to try of this range$"):
        Space({"k": Parameter(uniform=(0.0, 1.0))}).grid()


@pytest.mark.parametrize(
    ("given", "place", "value"),
    [
        ({"uniform": (2.0, 4.0)}, 0.25, 2.5),
        ({"log_uniform": (1e-4, 1e-2)}, 0.5, 1e-3),
        ({"uniform": (2.0, 4.0)}, 1.5, 4.0),
    ],
)
def test_places_in_the_unit_interval(given: dict[str, Any], place: float, value: float) -> None:
    parameter = Parameter(**given)
    assert parameter.from_unit(place) == pytest.approx(value, rel=1e-12)
    if place <= 1:
        assert parameter.to_unit(value) == pytest.approx(place, abs=1e-12)


def test_whole_numbers_have_equal_shares_of_the_unit_interval() -> None:
    parameter = Parameter(integer=(1, 4))
    assert [parameter.from_unit(place) for place in (0.0, 0.24, 0.26, 0.49, 0.51, 0.76, 1.0)] == [1, 1, 2, 2, 3, 4, 4]
    assert [parameter.to_unit(value) for value in (1, 4)] == [0.125, 0.875]


@pytest.mark.parametrize("value", [1e-05, 3e22, 0.1, -2.5e-07, 1 / 3, 7, True, None, "adam", "null", "1e3", "0.5", ""])
def test_flags_are_read_back_exactly(value: Any) -> None:
    read = yaml.safe_load(as_flag(value))
    assert read == value and type(read) is type(value)


def test_a_mapping_is_written_as_json() -> None:
    space = Space({"tuning": Parameter(choice=[{"class_path": "a.B", "init_args": {"rank": 4}}, None])})
    assert flags(space.grid()[0]) == ['--tuning={"class_path": "a.B", "init_args": {"rank": 4}}']
    assert flags({"rate": 1e-05, "on": False}) == ["--rate=1.0e-05", "--on=false"]

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from firm_lightning.commands.function_command import function_parser
from firm_lightning.commands.sweep import sweep
from firm_lightning.sweep.values import Value, as_flag, flags, held, misread


class Part:
    """A part.

    Args:
        name: A text.
        rate: A number.
        mode: A text or nothing.
    """

    def __init__(self, *, name: str = "", rate: float = 1.0, mode: str | None = "") -> None:
        self.name, self.rate, self.mode = name, rate, mode


def settings(
    *,
    text: str = "",
    text_or_none: str | None = "",
    literal: Literal["no", "32", "true", "16-mixed"] = "no",
    number: float = 0.0,
    number_or_none: float | None = 0.0,
    number_or_text: float | str = 0.0,
    whole: int = 0,
    switch: bool = False,
    anything: Any = None,
    table: dict[str, Any] | None = None,
    numbers: list[float] | None = None,
    part: Part | None = None,
) -> None:
    """Keys of every type."""


PARSER = function_parser(settings, prog="p", summary="s")
TEXTS = ["adam", "no", "null", "~", "1e3", "32", "true", "", " a ", "a: b", "[1]", "{a", "#x", "'", "-", "é\nb", '"q"']
FLOATS = [1e-05, 3e22, 0.1, -2.5e-07, 1 / 3, 5e-324, 1.7976931348623157e308, math.inf, -math.inf]


def parsed(key: str, value: Value) -> Any:
    """What the project's parser makes of a value."""
    return PARSER.parse_args(flags({key: value}))[key]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("text", text) for text in TEXTS),
        *(("text_or_none", text) for text in TEXTS if text not in ("null", "~", "#x")),
        ("text_or_none", None),
        *(("literal", text) for text in ("no", "32", "true", "16-mixed")),
        *((key, value) for key in ("number", "number_or_none", "number_or_text", "anything") for value in FLOATS),
        *(("number_or_text", text) for text in ("adam", "no", "null", "true")),
        ("number_or_none", None),
        ("whole", -7),
        ("switch", True),
        ("switch", False),
        *(("anything", value) for value in (None, True, 3, "adam")),
    ],
)
def test_a_value_is_read_back_exactly(key: str, value: Value) -> None:
    read = parsed(key, value)
    assert read == value and type(read) is type(value)


def test_mappings_and_lists_are_read_back_exactly() -> None:
    table = {"a": 1e-05, "b": "adam", "c": None, "d": "é", "e": [1, 2.5e-07], "f": {"g": True}}
    assert parsed("table", held(table)) == table
    assert parsed("numbers", held([1e-05, 2.0])) == [1e-05, 2.0]
    part = parsed("part", held({"class_path": f"{__name__}.Part", "init_args": {"name": "no", "rate": 1e-05}}))
    assert part.init_args.as_dict() == {"name": "no", "rate": 1e-05, "mode": ""}
    chosen: dict[str, Value] = {"part": f"{__name__}.Part", "part.init_args.name": "32", "part.init_args.rate": 1e-05}
    part = PARSER.parse_args(flags(chosen)).part
    assert part.init_args.as_dict() == {"name": "32", "rate": 1e-05, "mode": ""}


def test_the_values_of_a_sweep_arrive_as_they_are_written(tmp_path: Path) -> None:
    """Not read a second time: a quoted text stays a text, also inside a mapping."""
    texts = '"no", "32", "null", "~", "1e3", "true", "", ".inf"'
    written = f'[{texts}, no, 32, null, 1e3, .inf, {{"a": "no", "b": ["1e3", {{"class_path": "a.B"}}]}}]'
    file = tmp_path / "sweep.yaml"
    file.write_text(f'space: {{k: {{choice: {written}}}, j: {{choice: [1, 2], when: {{k: ["no", "1e3", 32]}}}}}}')
    required = ["--output", "o", "--fit", "f", "--metric", "m", "--trials", "1"]
    space = function_parser(sweep, prog="p", summary="s").parse_args(["--config", str(file), *required]).space
    nested = {"a": "no", "b": ["1e3", {"class_path": "a.B"}]}
    read = ["no", "32", "null", "~", "1e3", "true", "", ".inf", False, 32, None, 1000.0, math.inf, nested]
    assert space["k"].choice == read and list(map(type, space["k"].choice)) == list(map(type, read))
    assert space["j"].when == {"k": ["no", "1e3", 32]}


def test_flags_are_written_as_a_person_would() -> None:
    chosen: dict[str, Value] = {"precision": "32", "rate": 1e-05, "on": False, "seed": None, "n": 4}
    assert flags(chosen) == ["--precision=32", "--rate=1e-05", "--on=false", "--seed=null", "--n=4"]
    tuning = held({"class_path": "a.B", "init_args": {"rank": 4}})
    assert as_flag(tuning) == '{"class_path": "a.B", "init_args": {"rank": 4}}'


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("text_or_none", "null", "'null' as null"),
        ("text_or_none", "~", "'~' as null"),
        ("anything", "no", "'no' as false"),
        ("anything", "True", "'True' as true"),
        ("anything", "1e3", "'1e3' as 1000.0"),
        ("table", held({"a": ["no"]}), "'no' as false"),
        ("number_or_text", "1e3", "'1e3' as 1000.0"),
        ("part.mode", "null", "'null' as null"),
        ("part", held({"class_path": f"{__name__}.Part", "init_args": {"mode": "null"}}), "'null' as null"),
    ],
)
def test_a_text_that_is_read_as_something_else_is_told(key: str, value: Value, said: str) -> None:
    part = [] if key == "part" else [f"--part={__name__}.Part"]
    printed = PARSER.dump(PARSER.parse_args([*part, *flags({key: value})]), skip_none=False)
    sentence = f"space: {key}: fit reads the text {said}; give another text, or that value itself"
    assert misread({key: value}, printed) == [sentence]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("text", text) for text in TEXTS),
        ("anything", "32"),
        ("whole", 3),
        ("text_or_none", None),
        ("text_or_none", "${text}"),
        ("table", held({"a": 1, "b": {"c": "d"}})),
        ("part", held({"class_path": f"{__name__}.Part", "init_args": {"rate": 2}})),
        ("part.name", "no"),
        ("part.unknown", "null"),
        ("unknown.key", "null"),
    ],
)
def test_nothing_is_told_of_what_is_read_as_it_was_meant(key: str, value: Value) -> None:
    known = key.startswith("part.") and not key.endswith("unknown")
    given = [f"--part={__name__}.Part"] if known else []
    given += [] if "unknown" in key else flags({key: value})
    assert misread({key: value}, PARSER.dump(PARSER.parse_args(given), skip_none=False)) == []


def test_nothing_is_told_where_nothing_is_printed() -> None:
    assert misread({"a": "null"}, "") == []
    assert misread({"a": "null"}, yaml.safe_dump({"a": "null"})) == []

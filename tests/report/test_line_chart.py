from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from firm_lightning.report.line_chart import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Curve,
    line_chart,
    nice_step,
    tick_text,
    value_text,
)

SVG = "{http://www.w3.org/2000/svg}"


def drawn(*curves: Curve) -> ElementTree.Element:
    text = str(line_chart(curves, title="Reward", x_name="round"))
    return ElementTree.fromstring(text.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" '))


def ways(svg: ElementTree.Element) -> list[list[tuple[float, float]]]:
    lines = svg.findall(f"{SVG}polyline")
    return [[tuple(map(float, pair.split(","))) for pair in line.get("points", "").split()] for line in lines]  # type: ignore[misc]


def test_points_stand_where_the_axes_say() -> None:
    """Values 0 to 1 over rounds 0 to 10: the corners of the plot and its middle."""
    svg = drawn(Curve("a", ((0, 0.0), (5, 0.5), (10, 1.0))))
    assert ways(svg) == [
        [(LEFT, BOTTOM), ((LEFT + WIDTH - RIGHT) / 2, (TOP + BOTTOM) / 2), (WIDTH - RIGHT, TOP)],
    ]
    texts = [element.text for element in svg.findall(f"{SVG}text")]
    assert texts[:12] == ["0", "0.2", "0.4", "0.6", "0.8", "1", "0", "2", "4", "6", "8", "10"]


def test_curves_differ_in_dashes_and_marks_not_in_colour_alone() -> None:
    svg = drawn(*(Curve(f"c{n}", ((0, n), (1, n + 1))) for n in range(6)))
    dashes = [line.get("stroke-dasharray") for line in svg.findall(f"{SVG}polyline")]
    assert len(set(dashes)) == 6
    marks = [element for element in svg if "mark" in element.get("class", "")]
    shapes = {}
    for mark in marks:
        number = re.search(r"m(\d)", mark.get("class", ""))[1]  # type: ignore[index]
        corners = len(mark.get("points", "").split())
        shapes[number] = (mark.tag, corners, "hollow" in mark.get("class", ""), _turned(mark))
    assert len(set(shapes.values())) == 6


def _turned(mark: ElementTree.Element) -> bool:
    """Whether a figure of four corners stands on one of them."""
    ys = [pair.split(",")[1] for pair in mark.get("points", "").split()]
    return len(ys) == 4 and len(set(ys)) == 3


def test_it_can_be_read_out() -> None:
    svg = drawn(Curve("critic <a>", ((0, 0.25), (3, 0.5))), Curve("truth", ((1, 0.125),)))
    assert svg.get("role") == "img"
    assert svg.get("aria-label") == "Reward, by round: critic <a> 0.250 to 0.500; truth 0.125"


def test_one_point_and_a_level_line_have_axes_too() -> None:
    assert ways(drawn(Curve("a", ((3, 2.0),)))) == []
    level = ways(drawn(Curve("a", ((0, 0.0), (4, 0.0)))))
    assert level == [[(LEFT, (TOP + BOTTOM) / 2), (WIDTH - RIGHT, (TOP + BOTTOM) / 2)]]


def test_rounds_have_no_fractions() -> None:
    svg = drawn(Curve("a", ((0, 1.0), (1, 2.0))))
    texts = [element.text for element in svg.findall(f"{SVG}text")]
    assert texts[texts.index("2") + 1 :][:2] == ["0", "1"]


@pytest.mark.parametrize(("least", "step"), [(0.11, 0.2), (0.2, 0.2), (3, 5), (0.6, 1), (70, 100), (1e-9, 1e-9)])
def test_nice_step(least: float, step: float) -> None:
    assert nice_step(least) == pytest.approx(step, rel=1e-12)
    assert nice_step(least, whole=True) >= 1


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (0.0002, "0.0002"), (0.00022, "2.2e-4"), (25_000, "25,000"), (2.5e6, "2.5e6")]
)
def test_ticks_are_short(value: float, text: str) -> None:
    assert tick_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0.000"), (0.4414, "0.441"), (0.00348, "0.00348"), (12345.6, "12,346"), (25.26, "25.3")]
)
def test_values(value: float, text: str) -> None:
    assert value_text(value) == text

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFont

from firm_lightning.report.contact_sheet import ACCENT, CARD, PAPER, Panel, Tile, contact_sheet, wrapped

FONT = ImageFont.load_default(15)


def plain(colour: tuple[int, int, int], side: int = 64) -> Image.Image:
    return Image.new("RGB", (side, side), colour)


def pixels_of(sheet: Image.Image, colour: tuple[int, int, int]) -> int:
    return int((np.asarray(sheet) == colour).all(axis=2).sum())


def test_every_picture_is_shown_at_three_times_its_size() -> None:
    colours = [(200, 10 * number, 30) for number in range(9)]
    sheet = contact_sheet([Tile(f"prompt {n}", (Panel(plain(c)),)) for n, c in enumerate(colours)])
    assert [pixels_of(sheet, colour) for colour in colours] == [192 * 192] * 9
    # 8 cards of 192 + 28 px with gaps of 10 and margins of 24 would be 1878 px wide: 7 in a row
    assert sheet.width == 2 * 24 + 7 * 220 + 6 * 10


def test_reading_order() -> None:
    colours = [(200, 10 * number, 30) for number in range(8)]
    values = np.asarray(contact_sheet([Tile("p", (Panel(plain(c)),)) for c in colours]))
    corners = [tuple(np.argwhere((values == colour).all(axis=2))[0]) for colour in colours]
    assert corners == sorted(corners)
    assert len({y for y, _ in corners}) == 2


def test_large_pictures_shrink_and_keep_their_shape() -> None:
    wide = Image.new("RGB", (1024, 512), (10, 200, 30))
    assert pixels_of(contact_sheet([Tile("p", (Panel(wide),))]), (10, 200, 30)) == 256 * 128


def test_panels_of_a_prompt_stand_side_by_side() -> None:
    tile = Tile("add a hat", (Panel(plain((255, 0, 9)), "source"), Panel(plain((0, 255, 9)), "result")))
    values = np.asarray(contact_sheet([tile]))
    source, result = ((values == colour).all(axis=2).nonzero() for colour in ((255, 0, 9), (0, 255, 9)))
    assert source[0].min() == result[0].min()
    assert result[1].min() - source[1].max() == 11


@pytest.mark.parametrize(("reward", "filled"), [(1.0, 192), (0.5, 97), (0.0, 0), (None, 0)])
def test_the_reward_is_also_a_bar(reward: float | None, filled: int) -> None:
    sheet = contact_sheet([Tile("p", (Panel(plain((9, 9, 9)), numbers={"reward": reward}),))])
    assert pixels_of(sheet, ACCENT) == filled * 4


def test_text_takes_room_and_leaves_marks() -> None:
    short, long = Tile("p", (Panel(plain((9, 9, 9))),)), Tile("word " * 30, (Panel(plain((9, 9, 9))),))
    assert contact_sheet([long]).height - contact_sheet([short]).height == 3 * 20  # 4 lines of 20 px instead of 1
    titled = contact_sheet([short], title="A run", notes=["means", "more"])
    assert titled.height - contact_sheet([short]).height == 32 + 2 * 20 + 12
    heading = np.asarray(titled)[:104]
    assert (heading != PAPER).any()
    numbers = contact_sheet([Tile("p", (Panel(plain((9, 9, 9)), numbers={"exact": 1.0}),))])
    assert pixels_of(numbers, CARD) < pixels_of(contact_sheet([short]), CARD) + 18 * 220


def test_a_long_prompt_is_wrapped_and_ends_in_dots() -> None:
    lines = wrapped("a red circle left of a blue square and a yellow cross below both", FONT, 120, most_lines=2)
    assert len(lines) == 2
    assert lines[1].endswith("...")
    assert all(FONT.getlength(line) <= 120 for line in lines)
    assert wrapped("a red circle", FONT, 500, most_lines=2) == ["a red circle"]
    assert wrapped("", FONT, 500, most_lines=2) == []


def test_words_without_spaces_are_cut() -> None:
    lines = wrapped("x" * 100, FONT, 120, most_lines=50)
    assert "".join(lines) == "x" * 100
    assert all(FONT.getlength(line) <= 120 for line in lines)
    assert wrapped("wide", FONT, 1, most_lines=9) == ["w", "i", "d", "e"]


def test_nothing_to_show_is_refused() -> None:
    for tiles in ([], [Tile("p", ())]):
        with pytest.raises(ValueError, match=r"^a contact sheet needs tiles, each with at least one picture$"):
            contact_sheet(tiles)

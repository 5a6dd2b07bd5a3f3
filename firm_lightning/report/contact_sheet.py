"""Contact sheets: drawn pictures beside one another, each with its prompt and its numbers beneath."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from PIL import Image, ImageDraw, ImageFont

SHEET_PX = 1800
"""Width that a sheet is filled up to; it is narrower if there are few pictures."""
SMALL_PX, PANEL_PX = 192, 256
"""Side of a panel: for pictures that fit twice into the small one, and for larger ones."""
GAP, PAD, MARGIN = 10, 14, 24
PROMPT_LINES = 4
PAPER, CARD, EDGE, FRAME = (240, 241, 243), (255, 255, 255), (214, 217, 222), (190, 194, 200)
INK, GREY, ACCENT, TRACK = (28, 31, 36), (112, 118, 128), (38, 110, 190), (226, 229, 234)
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture, a word above it, and named numbers beneath; None is a number that is not known."""

    picture: Image.Image
    label: str = ""
    numbers: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tile:
    """The pictures of one prompt, side by side."""

    prompt: str
    panels: tuple[Panel, ...]


def contact_sheet(tiles: Sequence[Tile], *, title: str = "", notes: Sequence[str] = ()) -> Image.Image:
    """Lay the tiles out in reading order, as many in a row as the width holds.

    Args:
        tiles: At least one, each with at least one panel.
        title: Heading of the sheet.
        notes: Lines in grey under the heading.

    Returns:
        An RGB picture.

    Raises:
        ValueError: There is nothing to show.
    """
    if not tiles or not all(tile.panels for tile in tiles):
        raise ValueError("a contact sheet needs tiles, each with at least one picture")
    layout = _Layout(tiles)
    heading = _heading(title, notes, layout.sheet_width)
    top = MARGIN + sum(_line_px(size) for _, size, _ in heading) + (12 if heading else 0)
    rows = [tiles[first : first + layout.columns] for first in range(0, len(tiles), layout.columns)]
    heights = [max(layout.tile_height(tile) for tile in row) for row in rows]
    height = top + sum(heights) + GAP * (len(rows) - 1) + MARGIN
    sheet = Image.new("RGB", (layout.sheet_width, height), PAPER)
    pen = ImageDraw.Draw(sheet)
    y = MARGIN
    for line, size, ink in heading:
        pen.text((MARGIN, y), line, fill=ink, font=font_of(size))
        y += _line_px(size)
    y = top
    for row, row_height in zip(rows, heights, strict=True):
        label, prompt = any(p.label for tile in row for p in tile.panels), max(map(layout.prompt_height, row))
        for place, tile in enumerate(row):
            x = MARGIN + place * (layout.tile_width + GAP)
            box = (x, y, x + layout.tile_width - 1, y + row_height - 1)
            pen.rounded_rectangle(box, radius=8, fill=CARD, outline=EDGE)
            layout.draw_tile(sheet, tile, x + PAD, y + PAD, label=label, prompt_height=prompt)
        y += row_height + GAP
    return sheet


class _Layout:
    """Sizes that all tiles of a sheet share."""

    def __init__(self, tiles: Sequence[Tile]) -> None:
        panels = [panel for tile in tiles for panel in tile.panels]
        fits = all(max(panel.picture.size) <= SMALL_PX // 2 for panel in panels)
        self.side = SMALL_PX if fits else PANEL_PX
        widest = max(len(tile.panels) for tile in tiles)
        self.tile_width = widest * self.side + (widest - 1) * GAP + 2 * PAD
        fitting = (SHEET_PX - 2 * MARGIN + GAP) // (self.tile_width + GAP)
        self.columns = max(1, min(len(tiles), fitting))
        self.sheet_width = 2 * MARGIN + self.columns * self.tile_width + (self.columns - 1) * GAP
        self.text_width = self.tile_width - 2 * PAD

    def prompt_height(self, tile: Tile) -> int:
        return len(self._prompt_lines(tile)) * _line_px(15) + 6

    def tile_height(self, tile: Tile) -> int:
        label = _line_px(13) if any(panel.label for panel in tile.panels) else 0
        numbers = max(_numbers_height(panel.numbers) for panel in tile.panels)
        return 2 * PAD + label + self.side + 10 + self.prompt_height(tile) + numbers

    def draw_tile(
        self, sheet: Image.Image, tile: Tile, left: int, top: int, *, label: bool, prompt_height: int
    ) -> None:
        pen = ImageDraw.Draw(sheet)
        picture_top = top + (_line_px(13) if label else 0)
        text_top = picture_top + self.side + 10
        for place, panel in enumerate(tile.panels):
            x = left + place * (self.side + GAP)
            pen.text((x, top), panel.label, fill=GREY, font=font_of(13))
            shown = _fitted(panel.picture, self.side)
            corner = (x + (self.side - shown.width) // 2, picture_top + (self.side - shown.height) // 2)
            sheet.paste(shown, corner)
            right, bottom = corner[0] + shown.width, corner[1] + shown.height
            pen.rectangle((corner[0] - 1, corner[1] - 1, right, bottom), outline=FRAME)
            _draw_numbers(pen, panel.numbers, x, text_top + prompt_height, self.side)
        for number, line in enumerate(self._prompt_lines(tile)):
            pen.text((left, text_top + number * _line_px(15)), line, fill=INK, font=font_of(15))

    def _prompt_lines(self, tile: Tile) -> list[str]:
        return wrapped(tile.prompt, font_of(15), self.text_width, most_lines=PROMPT_LINES)


def wrapped(text: str, font: Font, width_px: int, *, most_lines: int) -> list[str]:
    """Text in lines no wider than ``width_px``; what is beyond the last line ends in three dots."""
    lines: list[str] = []
    words = text.split()
    while words and len(lines) < most_lines:
        line = words.pop(0)
        while words and font.getlength(f"{line} {words[0]}") <= width_px:
            line = f"{line} {words.pop(0)}"
        if font.getlength(line) > width_px:  # one long word, or a script without spaces
            fitting = next(end for end in range(len(line), 0, -1) if end == 1 or font.getlength(line[:end]) <= width_px)
            words[:0] = [line[fitting:]] if line[fitting:] else []
            line = line[:fitting]
        lines.append(line)
    if words:
        last = lines[-1]
        while last and font.getlength(f"{last}...") > width_px:
            last = last[:-1]
        lines[-1] = f"{last.rstrip()}..."
    return lines


def _fitted(picture: Image.Image, side: int) -> Image.Image:
    """Small pictures grow by a whole factor without smoothing, so that their pixels can be seen; large ones shrink."""
    picture = picture.convert("RGB")
    factor = side // max(picture.size)
    if factor >= 1:
        size = (picture.width * factor, picture.height * factor)
        return picture.resize(size, Image.Resampling.NEAREST)
    shrunk = picture.copy()
    shrunk.thumbnail((side, side), Image.Resampling.LANCZOS)
    return shrunk


def _numbers_height(numbers: Mapping[str, float | None]) -> int:
    return len(numbers) * _line_px(13) + (8 if "reward" in numbers else 0)


def _draw_numbers(pen: ImageDraw.ImageDraw, numbers: Mapping[str, float | None], x: int, y: int, width: int) -> None:
    """Names to the left, values to the right; the reward also as a bar."""
    for name, value in numbers.items():
        main = name == "reward"
        text = "unreadable" if value is None and main else "-" if value is None else f"{value:.2f}"
        font = font_of(14 if main else 13)
        pen.text((x, y), name, fill=INK if main else GREY, font=font)
        pen.text((x + width - font.getlength(text), y), text, fill=INK, font=font)
        y += _line_px(13)
        if main:
            pen.rectangle((x, y + 1, x + width - 1, y + 4), fill=TRACK)
            filled = round((width - 1) * min(max(value or 0.0, 0.0), 1.0))
            if filled:
                pen.rectangle((x, y + 1, x + filled, y + 4), fill=ACCENT)
            y += 8


def _heading(title: str, notes: Sequence[str], width: int) -> list[tuple[str, int, tuple[int, int, int]]]:
    """The lines above the tiles, with size and ink."""
    room = width - 2 * MARGIN
    lines = [(line, 24, INK) for line in wrapped(title, font_of(24), room, most_lines=2)]
    return lines + [(line, 15, GREY) for note in notes for line in wrapped(note, font_of(15), room, most_lines=3)]


def _line_px(size: int) -> int:
    return round(size * 1.35)


@cache
def font_of(size: int) -> Font:
    """Pillow's own font, so that sheets look alike everywhere."""
    return ImageFont.load_default(size)

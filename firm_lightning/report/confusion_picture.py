"""A confusion matrix as a picture, for TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from firm_lightning.report.contact_sheet import CARD, EDGE, GREY, INK, font_of

CELL_PX = 72
LEFT_PX, TOP_PX, MARGIN_PX = 56, 84, 20
DARKEST = (38, 110, 190)


def confusion_picture(counts: Sequence[Sequence[int]], *, title: str) -> Image.Image:
    """Draw counts: a row for each human score from 1, a column for each score of the critic and one for unreadable.

    Every cell holds its number; its shade is its share of the row, and a frame marks agreement.

    Args:
        counts: (S, S + 1) whole numbers.
        title: Line above the matrix.
    """
    rows, columns = len(counts), len(counts[0])
    size = (LEFT_PX + columns * CELL_PX + MARGIN_PX, TOP_PX + rows * CELL_PX + MARGIN_PX)
    picture = Image.new("RGB", size, CARD)
    pen = ImageDraw.Draw(picture)
    pen.text((MARGIN_PX, 16), title, fill=INK, font=font_of(18))
    for column in range(columns):
        name = str(column + 1) if column < rows else "unread."
        pen.text((LEFT_PX + (column + 0.5) * CELL_PX, TOP_PX - 18), name, fill=GREY, font=font_of(16), anchor="mm")
    for row, row_counts in enumerate(counts):
        total = sum(row_counts) or 1
        pen.text((LEFT_PX - 20, TOP_PX + (row + 0.5) * CELL_PX), str(row + 1), fill=GREY, font=font_of(16), anchor="mm")
        for column, count in enumerate(row_counts):
            left, top = LEFT_PX + column * CELL_PX, TOP_PX + row * CELL_PX
            box = (left, top, left + CELL_PX - 2, top + CELL_PX - 2)
            share = count / total
            same = row == column
            shade = tuple(round(255 + share * (dark - 255)) for dark in DARKEST)
            pen.rectangle(box, fill=shade, outline=INK if same else EDGE, width=3 if same else 1)
            middle = (left + CELL_PX / 2 - 1, top + CELL_PX / 2 - 1)
            pen.text(middle, f"{count:,}", fill=CARD if share > 0.6 else INK, font=font_of(18), anchor="mm")
    return picture

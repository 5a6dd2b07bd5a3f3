from __future__ import annotations

import numpy as np

from firm_lightning.report.confusion_picture import CELL_PX, DARKEST, LEFT_PX, TOP_PX, confusion_picture


def test_shade_is_the_share_of_the_row() -> None:
    picture = np.asarray(confusion_picture([[0, 3, 1], [0, 0, 0]], title="alignment"))
    assert picture.shape == (TOP_PX + 2 * CELL_PX + 20, LEFT_PX + 3 * CELL_PX + 20, 3)

    def shade(row: int, column: int) -> tuple[int, ...]:
        """Of the lower left corner of a cell, within its frame."""
        return tuple(picture[TOP_PX + (row + 1) * CELL_PX - 8, LEFT_PX + column * CELL_PX + 8].tolist())

    assert shade(0, 0) == shade(1, 0) == shade(1, 2) == (255, 255, 255)
    assert shade(0, 1) == tuple(round(255 + 0.75 * (dark - 255)) for dark in DARKEST)
    assert shade(0, 2) == tuple(round(255 + 0.25 * (dark - 255)) for dark in DARKEST)
    frame = picture[TOP_PX, LEFT_PX + 10 : LEFT_PX + CELL_PX - 10]
    assert (frame == (28, 31, 36)).all(), "a frame marks agreement"

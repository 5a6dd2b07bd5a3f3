"""``<image>`` in a question says where a picture stands; in what people or models write it is a word like others."""

from __future__ import annotations

import re

IMAGE_MARK = "<image>"
"""The ShareGPT convention; in a question without marks all pictures stand in front."""
_MARK = re.compile(r"<(image|video|audio)>")


def without_marks(text: str) -> str:
    """Somebody's words with the marks in them broken up, ``< image >``, so that they move no picture.

    Other trainers take ``<video>`` and ``<audio>`` for marks as well.
    """
    return _MARK.sub(r"< \1 >", text)

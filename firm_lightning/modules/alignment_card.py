"""A critic's alignment card as a file: whether it is whole, and which of its figures can be limits."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

CARD_NAME: Final = "card.json"
CARD_FORMAT: Final = 1
"""Raised when an older program could not read a card rightly any more."""
CHECK_KEY: Final = "sha256"
"""Under this key a card holds the hash of all else in it."""
REPEATED: Final = ("retest_answers", "retest_scores", "parity_answers", "parity_scores")
_HIGHER: Final = ("n", "exact", "within_one", "pearson", "spearman", "kendall", "qwk", "pairwise")
_LOWER: Final = ("mae", *(f"mae_at_{score}" for score in range(1, 6)), "unreadable_rate")

Direction = Literal["at least", "at most", "within ±"]


def directions() -> dict[str, Direction]:
    """Every figure that can be limited, and what a limit of it means; ``expected_`` figures are of expected scores."""
    found: dict[str, Direction] = dict.fromkeys(_HIGHER, "at least")
    found |= dict.fromkeys(_LOWER, "at most")
    found["bias"] = "within ±"
    expected = {f"expected_{name}": way for name, way in found.items() if name not in ("n", "unreadable_rate")}
    return found | expected | dict.fromkeys(REPEATED, "at least")


def meets(value: float, limit: float, direction: Direction) -> bool:
    """Whether a figure is good enough; what is not a number never is."""
    if math.isnan(value):
        return False
    if direction == "at least":
        return value >= limit
    return (value if direction == "at most" else abs(value)) <= limit


def seal(card: Mapping[str, Any]) -> dict[str, Any]:
    """The card with the hash of its content, so that a change shows."""
    content = {key: value for key, value in card.items() if key != CHECK_KEY}
    return content | {CHECK_KEY: _digest(content)}


def card_file(path: Path) -> Path:
    """The file of a card that is named by its file or by its folder."""
    return path / CARD_NAME if path.is_dir() else path


def read_card(path: Path) -> dict[str, Any]:
    """Read a card and check that it is whole.

    Args:
        path: ``card.json``, or the folder that holds it.

    Raises:
        ValueError: There is none, it is damaged or was altered, or a later version of this program wrote it.
    """
    file = card_file(path)
    again = "make it again with: python train.py card"
    try:
        card = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{file}: there is no such card; make one with: python train.py card") from None
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ValueError(f"{file}: the card is damaged ({error}); {again}") from None
    if not isinstance(card, dict) or not isinstance(card.get("format"), int):
        raise ValueError(f"{file}: this is no alignment card ('format' is missing); {again}")
    if card["format"] > CARD_FORMAT:
        raise ValueError(
            f"{file}: a card of format {card['format']}, and this program knows formats up to {CARD_FORMAT}; "
            f"install the version that wrote it, or {again}"
        )
    if card.get(CHECK_KEY) != _digest({key: value for key, value in card.items() if key != CHECK_KEY}):
        raise ValueError(f"{file}: the card is damaged: its content has another hash than was written; {again}")
    return card


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()

"""What ``CriticSFT`` takes in and what it hands out."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from firm_lightning.critics.chat import EncodedChat
from firm_lightning.types import Exchange, Judgement, Unreadable, Verdict

BLANK_PX = 32
"""Side of a picture that only keeps layers busy; processors enlarge it to their smallest size."""


class CriticBatch:
    """Exchanges and the tensors of those whose answers are known.

    No dataclass: Lightning goes through one field by field (half precision, collected predictions), down to the frozen
    ones inside, which it refuses.

    Args:
        exchanges: The questions, in order.
        learn: The exchanges that have an answer, encoded; None where none has.
    """

    __slots__ = ("exchanges", "learn")

    def __init__(self, exchanges: Iterable[Exchange], learn: EncodedChat | None) -> None:
        self.exchanges = tuple(exchanges)
        self.learn = learn

    def to(self, device: torch.device | str) -> CriticBatch:
        """The batch with its tensors on a device."""
        return CriticBatch(self.exchanges, self.learn.to(device) if self.learn is not None else None)

    def pin_memory(self) -> CriticBatch:
        """The batch with its tensors in page-locked memory."""
        return CriticBatch(self.exchanges, self.learn.pin_memory() if self.learn is not None else None)

    def __len__(self) -> int:
        return len(self.exchanges)


class Judged:
    """A record with the critic's answer to it. No dataclass, for the same reason as ``CriticBatch``.

    Args:
        judgement: The record.
        verdict: The answer.
    """

    __slots__ = ("judgement", "verdict")

    def __init__(self, judgement: Judgement, verdict: Verdict | Unreadable) -> None:
        self.judgement = judgement
        self.verdict = verdict


def blank_exchange() -> Exchange:
    """A question about an empty picture."""
    from PIL import Image

    return Exchange("blank", (Image.new("RGB", (BLANK_PX, BLANK_PX)),), "", "-")


def record_name(exchange: Exchange) -> str:
    """What an error calls an exchange: its id and, where known, where its record was read."""
    origin = exchange.judgement.origin if exchange.judgement is not None else ""
    return f"record '{exchange.id}'" + (f" ({origin})" if origin else "")

"""The toy policy as a command line can build it: with the very signatures of the protocol."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from torch import Tensor

from firm_lightning.types import WeightSet
from tests.modules.toy_policy import ToyPolicy

if TYPE_CHECKING:
    from PIL.Image import Image


class NamedPolicy(ToyPolicy):
    """A ``ToyPolicy``.

    Args:
        scale: What its first number begins as.
    """

    def __init__(self, *, scale: float = 0.5) -> None:
        super().__init__(scale=scale)

    def weights(self, name: WeightSet) -> AbstractContextManager[None]:
        return super().weights(name)

    def latents(self, pictures: Sequence[Image]) -> Tensor:
        return super().latents(pictures)

    def decode(self, latents: Tensor) -> list[Image]:
        return super().decode(latents)

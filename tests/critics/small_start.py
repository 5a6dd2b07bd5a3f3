"""A vision-language model that is made in milliseconds, for tests."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import PreTrainedModel

from firm_lightning.critics.chat import Chat
from firm_lightning.critics.tiny import build_model, build_processor, train_tokenizer

torch.set_num_threads(1)

CORPUS = (
    "Does the picture show a red circle? Score it from 1 to 5.",
    '{"reasoning": "the circle is red as asked", "score": [5]}',
    "the square is blue, not green\n\\boxed{2}",
    "Compare the pictures and judge the edit. One two three four five.",
) * 4


@cache
def small_tokenizer() -> Any:
    """One tokenizer for all tests: 284 byte and special tokens and some merges."""
    return train_tokenizer(CORPUS, vocabulary=360)


class SmallStart:
    """Like ``TinyQwen3VL``, smaller still.

    Args:
        seed: Seed of the weights.
        width: Width of the language model.
    """

    def __init__(self, *, seed: int = 0, width: int = 32) -> None:
        self.seed = seed
        self.width = width

    def load(self) -> tuple[PreTrainedModel, Chat]:
        """A new model; the processor's four tokens per picture come from 48 x 48 pixels."""
        tokenizer = small_tokenizer()
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            model = build_model(
                tokenizer, width=self.width, layers=2, heads=2, vision_width=32, vision_layers=2, patch_px=12
            )
        return model.eval(), Chat(build_processor(tokenizer, image_px=48, patch_px=12))


def picture(seed: int, width: int = 48, height: int = 48) -> Image.Image:
    """Noise, the same for the same seed."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))

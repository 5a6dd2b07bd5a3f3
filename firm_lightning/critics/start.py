"""Where a critic's weights come from: a pretrained folder or hub name, or a toy model built from its config."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

MYPY = False  # true to mypy; under TYPE_CHECKING, jsonargparse would import all this to check a config
if MYPY:
    from transformers import PreTrainedModel

    from firm_lightning.critics.chat import Chat

    Loaded = tuple[PreTrainedModel, Chat]
else:
    Loaded = Any  # a config is accepted whatever type a start of one's own writes here


class Start(Protocol):
    """Weights and processor to begin with. Nothing is loaded before ``load``."""

    def load(self) -> Loaded:
        """The model (on CPU, in evaluation mode) and its chat."""
        ...


class Pretrained:
    """A stock vision-language model, as ``save_pretrained`` writes it.

    Args:
        path: Folder, or name on the hub (``Qwen/Qwen3-VL-8B-Instruct``).
        dtype: Weights are loaded in this type: ``bfloat16``, ``float16``, ``float32`` or ``auto`` (as stored).
        attention: Attention implementation of transformers: ``sdpa``, ``eager``, ``flash_attention_2``.
        min_pixels: Smaller pictures are enlarged to this many pixels; null keeps the processor's own limit.
        max_pixels: Larger pictures are shrunk to this many pixels, which bounds the tokens per picture; null keeps the
            processor's own limit.
        local_files_only: Never ask the hub.
    """

    def __init__(
        self,
        *,
        path: str,
        dtype: str = "auto",
        attention: str = "sdpa",
        min_pixels: int | None = None,
        max_pixels: int | None = None,
        local_files_only: bool = False,
    ) -> None:
        if dtype not in ("auto", "bfloat16", "float16", "float32"):
            raise ValueError(f"dtype {dtype!r} is not one of auto, bfloat16, float16, float32")
        self.path = path
        self.dtype = dtype
        self.attention = attention
        self.min_pixels = min_pixels
        self.max_pixels = max_pixels
        self.local_files_only = local_files_only

    def load(self) -> tuple[PreTrainedModel, Chat]:
        """Load model and processor.

        Raises:
            FileNotFoundError: There is no such folder or model.
            ValueError: ``min_pixels`` is above ``max_pixels``.
        """
        from transformers import AutoModelForImageTextToText, AutoProcessor

        from firm_lightning.critics.chat import Chat

        folder = Path(self.path)
        if (folder.is_dir() or not _may_be_a_hub_name(self.path)) and not (folder / "config.json").is_file():
            raise FileNotFoundError(
                f"{self.path}: no model here (config.json is missing); give the folder of a saved model or a hub name"
            )
        try:
            processor = AutoProcessor.from_pretrained(self.path, local_files_only=self.local_files_only)
        except OSError as error:
            if folder.is_dir():
                raise
            where = "this machine has no copy of it" if self.local_files_only else "the hub does not give it"
            raise FileNotFoundError(
                f"{self.path}: there is no such folder, and {where} ({_first_line(error)})"
            ) from error
        self._limit(processor.image_processor)
        model = AutoModelForImageTextToText.from_pretrained(
            self.path, dtype=self.dtype, attn_implementation=self.attention, local_files_only=self.local_files_only
        )
        return model.eval(), Chat(processor)

    def _limit(self, image_processor: Any) -> None:
        size = dict(image_processor.size)
        size["shortest_edge"] = self.min_pixels or size["shortest_edge"]
        size["longest_edge"] = self.max_pixels or size["longest_edge"]
        if size["shortest_edge"] > size["longest_edge"]:
            raise ValueError(f"min_pixels {size['shortest_edge']} is above max_pixels {size['longest_edge']}")
        image_processor.size = size


def _may_be_a_hub_name(path: str) -> bool:
    return path.count("/") == 1 and not path.startswith((".", "/", "~"))


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0]


class TinyQwen3VL:
    """A Qwen3-VL of toy size with random weights, its tokenizer trained on the words of the scenes world.

    Args:
        width: Width of the language model.
        layers: Layers of the language model.
        heads: Attention heads of the language model.
        vision_width: Width of the vision tower.
        vision_layers: Layers of the vision tower.
        image_px: Side to which every picture is resized; a multiple of twice ``patch_px``.
        patch_px: Side of a vision patch; four patches make one token.
        vocabulary: Largest size of the vocabulary.
        seed: Seed of the tokenizer's corpus and of the weights.
    """

    def __init__(
        self,
        *,
        width: int = 128,
        layers: int = 4,
        heads: int = 4,
        vision_width: int = 96,
        vision_layers: int = 2,
        image_px: int = 72,
        patch_px: int = 12,
        vocabulary: int = 900,
        seed: int = 0,
    ) -> None:
        if image_px % (2 * patch_px):
            raise ValueError(f"image_px {image_px} is not a multiple of twice patch_px ({2 * patch_px})")
        self.width = width
        self.layers = layers
        self.heads = heads
        self.vision_width = vision_width
        self.vision_layers = vision_layers
        self.image_px = image_px
        self.patch_px = patch_px
        self.vocabulary = vocabulary
        self.seed = seed

    def load(self) -> tuple[PreTrainedModel, Chat]:
        """Train the tokenizer and draw the weights, both from ``seed``."""
        import torch

        from firm_lightning.critics.chat import Chat
        from firm_lightning.critics.tiny import build_model, build_processor, train_tokenizer
        from firm_lightning.scenes.corpus import corpus

        tokenizer = train_tokenizer(corpus(seed=self.seed), vocabulary=self.vocabulary)
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            model = build_model(
                tokenizer,
                width=self.width,
                layers=self.layers,
                heads=self.heads,
                vision_width=self.vision_width,
                vision_layers=self.vision_layers,
                patch_px=self.patch_px,
            )
        return model.eval(), Chat(build_processor(tokenizer, image_px=self.image_px, patch_px=self.patch_px))

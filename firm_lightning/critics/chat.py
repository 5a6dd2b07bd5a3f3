"""Questions and answers about pictures -> tensors. Training, validation and serving all go through here.

Shape letters: B batch, L tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from PIL.Image import Image

NOT_LEARNT = -100
"""Label of a token that the loss leaves out."""


@dataclass(frozen=True, slots=True)
class EncodedChat:
    """A left-padded batch. ``labels_BL`` is ``NOT_LEARNT`` everywhere but on the answer (its end token included)."""

    inputs: dict[str, Tensor]
    labels_BL: Tensor

    def to(self, device: torch.device | str) -> EncodedChat:
        """The batch on a device."""
        return EncodedChat({name: value.to(device) for name, value in self.inputs.items()}, self.labels_BL.to(device))

    def pin_memory(self) -> EncodedChat:
        """The batch in page-locked memory."""
        return EncodedChat({name: value.pin_memory() for name, value in self.inputs.items()}, self.labels_BL.pin_memory())

    def __len__(self) -> int:
        return len(self.labels_BL)


class Chat:
    """The chat template, tokenizer and image processor of a vision-language model behind one method.

    Args:
        processor: a transformers processor with a chat template (``AutoProcessor.from_pretrained``).
    """

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.end_token: str = self.tokenizer.eos_token
        self._frames: dict[int, tuple[str, str]] = {}

    def prompt(self, question: str, images: int) -> str:
        """The text up to where the model starts to answer, with one marker per picture."""
        if images not in self._frames:
            mark = "\x00"
            content = [{"type": "image"}] * images + [{"type": "text", "text": mark}]
            text = self.processor.apply_chat_template(
                [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
            )
            before, after = text.split(mark)
            self._frames[images] = (before, after)
        before, after = self._frames[images]
        return before + question + after

    def encode(
        self, images: Sequence[Sequence[Image]], questions: Sequence[str], answers: Sequence[str] | None = None
    ) -> EncodedChat:
        """Encode B questions, each about its pictures, and the answers to learn (none when the model is to answer).

        The answer is tokenised on its own and appended, exactly as a model that generates would append it, so that the
        tokens seen in training are those seen in use.
        """
        flat = [image for group in images for image in group]
        encoded = self.processor(
            text=[self.prompt(question, len(group)) for question, group in zip(questions, images, strict=True)],
            images=flat or None,
            padding=False,
        )
        prompts: list[list[int]] = [list(ids) for ids in encoded["input_ids"]]
        kinds: list[list[int]] = [list(kind) for kind in encoded["mm_token_type_ids"]]
        endings: list[list[int]] = [[] for _ in prompts]
        if answers is not None:
            texts = [answer + self.end_token for answer in answers]
            endings = self.tokenizer(texts, add_special_tokens=False)["input_ids"]
        inputs = self._pad(prompts, kinds, endings)
        labels = inputs.pop("labels")
        if flat:
            inputs["pixel_values"] = torch.as_tensor(encoded["pixel_values"])
            inputs["image_grid_thw"] = torch.as_tensor(encoded["image_grid_thw"])
        return EncodedChat(inputs, labels)

    def _pad(self, prompts: list[list[int]], kinds: list[list[int]], endings: list[list[int]]) -> dict[str, Tensor]:
        longest = max(len(prompt) + len(ending) for prompt, ending in zip(prompts, endings, strict=True))
        shape = (len(prompts), longest)
        ids = torch.full(shape, int(self.tokenizer.pad_token_id), dtype=torch.long)
        mask, kind_ids = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
        labels = torch.full(shape, NOT_LEARNT, dtype=torch.long)
        for row, (prompt, kind, ending) in enumerate(zip(prompts, kinds, endings, strict=True)):
            start = longest - len(prompt) - len(ending)
            ids[row, start:] = torch.tensor(prompt + ending)
            mask[row, start:] = 1
            kind_ids[row, start : start + len(kind)] = torch.tensor(kind)
            if ending:
                labels[row, longest - len(ending) :] = torch.tensor(ending)
        return {"input_ids": ids, "attention_mask": mask, "mm_token_type_ids": kind_ids, "labels": labels}

    def decode(self, ids_BL: Tensor) -> list[str]:
        """Token ids -> texts without special tokens."""
        return self.tokenizer.batch_decode(ids_BL, skip_special_tokens=True)

    def score_token_ids(self, score_1to5: int) -> list[int]:
        """The single tokens that spell a score, with and without a space before it."""
        spelled = (self.tokenizer.encode(text, add_special_tokens=False) for text in (f"{score_1to5}", f" {score_1to5}"))
        return sorted({ids[0] for ids in spelled if len(ids) == 1})

    def show_mask(self, encoded: EncodedChat, row: int = 0) -> str:
        """One sample with the learnt tokens in double brackets, so that a person can check the label mask."""
        real = encoded.inputs["attention_mask"][row].bool()
        ids, labels = encoded.inputs["input_ids"][row][real].tolist(), encoded.labels_BL[row][real].tolist()
        learnt = [token for token, label in zip(ids, labels, strict=True) if label != NOT_LEARNT]
        given = ids[: len(ids) - len(learnt)]
        return f"{self.tokenizer.decode(given)}[[{self.tokenizer.decode(learnt)}]]"

"""Questions and answers about pictures -> tensors. Training, validation and serving all go through here.

Shape letters: B batch, L tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from firm_lightning.rewards.picture_marks import IMAGE_MARK

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
        inputs = {name: value.to(device, non_blocking=True) for name, value in self.inputs.items()}
        return EncodedChat(inputs, self.labels_BL.to(device, non_blocking=True))

    def pin_memory(self) -> EncodedChat:
        """The batch in page-locked memory."""
        return EncodedChat(
            {name: value.pin_memory() for name, value in self.inputs.items()}, self.labels_BL.pin_memory()
        )

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

    def encode(
        self,
        images: Sequence[Sequence[Image]],
        questions: Sequence[str],
        answers: Sequence[str] | None = None,
        *,
        names: Sequence[str] | None = None,
        max_tokens: int | None = None,
    ) -> EncodedChat:
        """Encode B questions, each about its pictures, and the answers to learn (none when the model is to answer).

        The answer is tokenised on its own and appended, exactly as a model that generates would append it, so that the
        tokens seen in training are those seen in use. Control tokens that are spelled out in a question or an answer
        (``<|im_end|>``) are encoded as plain text: nobody who writes a prompt can end a turn or fake a picture.

        Args:
            images: The pictures of each question; their numbers may differ.
            questions: The questions. ``<image>`` in one says where a picture stands; without it they stand in front.
            answers: The answers.
            names: What to call each sample in an error, for example ``record '7' (set.jsonl:12)``.
            max_tokens: Longest sample (question, pictures, answer) allowed.

        Raises:
            ValueError: A question has another number of ``<image>`` marks than pictures, or a sample is too long.
        """
        names = names or [f"sample {row}" for row in range(len(questions))]
        turns = [
            [{"role": "user", "content": turn_content(question, group, name)}]
            for question, group, name in zip(questions, images, names, strict=True)
        ]
        encoded = self.processor.apply_chat_template(
            turns,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors=None,
            sanitize_control_tokens=True,
            processor_kwargs={"padding": False},
        )
        prompts: list[list[int]] = [list(ids) for ids in encoded["input_ids"]]
        kinds: list[list[int]] = [list(kind) for kind in encoded["mm_token_type_ids"]]
        endings: list[list[int]] = [[] for _ in prompts] if answers is None else self._endings(answers)
        for name, prompt, ending in zip(names, prompts, endings, strict=True):
            _check_length(name, len(prompt), len(ending), max_tokens)
        inputs = self._pad(prompts, kinds, endings)
        labels_BL = inputs.pop("labels")
        if any(images):
            inputs["pixel_values"] = torch.as_tensor(encoded["pixel_values"])
            inputs["image_grid_thw"] = torch.as_tensor(encoded["image_grid_thw"])
        return EncodedChat(inputs, labels_BL)

    def _endings(self, answers: Sequence[str]) -> list[list[int]]:
        ids = self.tokenizer(list(answers), add_special_tokens=False, split_special_tokens=True)["input_ids"]
        return [[*answer, self.tokenizer.eos_token_id] for answer in ids]

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
        spelled = (
            self.tokenizer.encode(text, add_special_tokens=False) for text in (f"{score_1to5}", f" {score_1to5}")
        )
        return sorted({ids[0] for ids in spelled if len(ids) == 1})

    def show_mask(self, encoded: EncodedChat, row: int = 0) -> str:
        """One sample with the learnt tokens in double brackets, so that a person can check the label mask."""
        real = encoded.inputs["attention_mask"][row].bool()
        ids, labels = encoded.inputs["input_ids"][row][real].tolist(), encoded.labels_BL[row][real].tolist()
        learnt = [token for token, label in zip(ids, labels, strict=True) if label != NOT_LEARNT]
        given = ids[: len(ids) - len(learnt)]
        return f"{self.tokenizer.decode(given)}[[{self.tokenizer.decode(learnt)}]]"


def turn_content(question: str, images: Sequence[Image], name: str) -> list[dict[str, Any]]:
    """Text and pictures of a user turn in their order."""
    pieces = question.split(IMAGE_MARK)
    marks = len(pieces) - 1
    if marks == 0:
        pieces = [""] * len(images) + [question]
    elif marks != len(images):
        raise ValueError(
            f"{name}: the question has {marks} {IMAGE_MARK} marks for {len(images)} pictures; "
            f"write {IMAGE_MARK} once for each picture, or not at all"
        )
    content: list[dict[str, Any]] = []
    for place, piece in enumerate(pieces):
        content += [{"type": "image", "image": images[place - 1]}] if place else []
        content += [{"type": "text", "text": piece}] if piece else []
    return content


def _check_length(name: str, prompt: int, ending: int, limit: int | None) -> None:
    if limit is not None and prompt + ending > limit:
        raise ValueError(
            f"{name}: {prompt + ending} tokens (question and pictures {prompt}, answer {ending}) are more than "
            f"max_tokens {limit}; raise max_tokens, lower max_pixels of the start, or leave the record out"
        )

"""A critic as a folder that stock transformers loads: ``AutoModelForImageTextToText`` and ``AutoProcessor``."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from firm_lightning.critics.chat import Chat
from firm_lightning.critics.generation import evaluation_mode

if TYPE_CHECKING:
    from PIL.Image import Image
    from transformers import PreTrainedModel

DTYPES = ("float32", "bfloat16", "float16")
PROBE_QUESTION = 'Compare:\n\n{"reasoning": "a red circle, not 2 blue squares", "score": [5]}  It\'s \\boxed{3} or 4/5.'
PROBE_TOKENS = 16


@dataclass(frozen=True)
class FolderCheck:
    """How far a critic that was loaded back is from the one that was saved, on one fixed question."""

    largest_difference: float
    answer_saved: str
    answer_loaded: str

    @property
    def passed(self) -> bool:
        """Whether logits and greedy answer are the same to the last bit."""
        return self.largest_difference == 0 and self.answer_saved == self.answer_loaded


def plain_model(model: PreTrainedModel, *, dtype: str | None = None) -> PreTrainedModel:
    """The model as it is to be saved: adapters merged into the weights, in evaluation mode, on the CPU, as a copy.

    Args:
        model: A transformers model, with or without peft adapters.
        dtype: ``float32``, ``bfloat16`` or ``float16``; None keeps that of the weights.
    """
    on_cpu = {id(tensor): _copied(tensor) for tensor in (*model.parameters(), *model.buffers())}
    copied = copy.deepcopy(model, dict(on_cpu)).eval()  # never a second copy on the training device
    if hasattr(copied, "merge_and_unload"):
        copied = copied.merge_and_unload(safe_merge=True)  # refuses adapters that have become NaN
    if dtype is not None:
        copied = _cast(copied, getattr(torch, dtype))
    return copied


def write_folder(model: PreTrainedModel, chat: Chat, folder: Path) -> dict[str, str]:
    """Save a plain model (safetensors) and its processor into an existing folder.

    Returns:
        SHA-256 of each file of weights, by name.

    Raises:
        ValueError: A weight is NaN or infinite.
    """
    for name, weight in model.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            raise ValueError(f"weight {name} is not finite: the training has diverged; export an earlier checkpoint")
    model.save_pretrained(folder)
    chat.processor.save_pretrained(folder)
    weights = sorted(folder.glob("*.safetensors"))
    for path in weights:  # they are written as readable by their owner alone
        path.chmod((folder / "config.json").stat().st_mode)
    return {path.name: _sha256(path) for path in weights}


def check_folder(model: PreTrainedModel, chat: Chat, folder: Path) -> FolderCheck:
    """Load a folder with stock transformers alone and compare it with the model that was saved."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    attention = model.config._attn_implementation
    loaded = AutoModelForImageTextToText.from_pretrained(
        folder, dtype="auto", attn_implementation=attention, local_files_only=True
    ).eval()
    loaded_chat = Chat(AutoProcessor.from_pretrained(folder, local_files_only=True))
    saved_logits, saved_answer = _probe(model, chat)
    loaded_logits, loaded_answer = _probe(loaded, loaded_chat)
    if saved_logits.shape != loaded_logits.shape:
        return FolderCheck(float("inf"), saved_answer, loaded_answer)
    difference = float((saved_logits - loaded_logits).abs().max())
    return FolderCheck(difference, saved_answer, loaded_answer)


@torch.inference_mode()
def _probe(model: PreTrainedModel, chat: Chat) -> tuple[torch.Tensor, str]:
    """Logits of a fixed question about two fixed pictures, and the beginning of the greedy answer."""
    encoded = chat.encode([_probe_pictures()], [PROBE_QUESTION]).to(model.device).inputs
    with evaluation_mode(model):
        logits_BLV = model(**encoded, use_cache=False).logits.float().cpu()
        sequences_BL = model.generate(**encoded, max_new_tokens=PROBE_TOKENS, do_sample=False, repetition_penalty=1.0)
    return logits_BLV, chat.decode(sequences_BL[:, encoded["input_ids"].shape[1] :])[0]


def _probe_pictures() -> list[Image]:
    from PIL import Image

    ramp = np.linspace(0, 255, 64, dtype=np.uint8)
    across, down = np.meshgrid(ramp, ramp)
    return [Image.fromarray(np.stack(channels, axis=2)) for channels in ((across, down, across), (down, down, across))]


def _copied(tensor: torch.Tensor) -> torch.Tensor:
    value = tensor.detach().to("cpu", copy=True)
    return torch.nn.Parameter(value, requires_grad=False) if isinstance(tensor, torch.nn.Parameter) else value


def _cast(model: Any, dtype: torch.dtype) -> Any:
    """Parameters only: rotary frequencies stay in float32, as they do when a saved model is loaded."""
    for weight in model.parameters():
        weight.data = weight.data.to(dtype)
    return model


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""Where the parts of a policy's pipeline come from: a diffusers folder or hub name, or toy parts built from configs."""

from __future__ import annotations

import hashlib
import importlib
import json
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

import torch

DTYPES: Final = ("bfloat16", "float16", "float32")
LIBRARIES: Final = ("diffusers", "transformers")
"""Parts of other libraries could be anybody's code and are refused."""

OWN_PARTS: Final = (("firm_lightning.policies.patch_autoencoder", "PatchAutoencoder"),)
"""Module and class of the parts of this package, as diffusers writes them into the index."""

INDEX: Final = "model_index.json"
SAMPLED_TENSORS = 64
SAMPLED_VALUES = 256


@runtime_checkable
class PipelineStart(Protocol):
    """Gives the parts of a stock pipeline, one by one. Nothing is loaded before it is asked for."""

    def component(self, name: str) -> Any:
        """A part by its name in the pipeline: ``transformer``, ``vae``, ``text_encoder``, ``tokenizer``, ``scheduler``.

        Models come on the CPU, in evaluation mode; a part that the pipeline does without is None.
        """
        ...

    def fingerprint(self, names: Sequence[str]) -> str:
        """Differs if a config, tokenizer file or weight of these parts differs (of weights, a sample is looked at)."""
        ...

    def save(self, folder: str | Path) -> None:
        """Write a folder that the stock pipeline's ``from_pretrained`` loads."""
        ...


class PretrainedPipeline:
    """A stock pipeline as diffusers writes it. Only safetensors are read.

    Args:
        path: Folder, or name on the hub (``stabilityai/stable-diffusion-3.5-medium``).
        revision: Branch, tag or commit on the hub; null is its main branch.
        dtype: Type of the text encoders and of the transformer: ``bfloat16``, ``float16`` or ``float32``.
            The autoencoder is always float32: it is small, and half precision shows in the pictures.
        weights_in: Type of the transformer where it is not ``dtype``: ``float32`` if all its weights are to learn.
        local_files_only: Never ask the hub.
    """

    def __init__(
        self,
        *,
        path: str,
        revision: str | None = None,
        dtype: str = "bfloat16",
        weights_in: str | None = None,
        local_files_only: bool = False,
    ) -> None:
        for name, value in (("dtype", dtype), ("weights_in", weights_in or dtype)):
            if value not in DTYPES:
                raise ValueError(f"{name} {value!r} is not one of {', '.join(DTYPES)}")
        self.path = path
        self.revision = revision
        self.dtype = dtype
        self.weights_in = weights_in or dtype
        self.local_files_only = local_files_only

    @cached_property
    def folder(self) -> Path:
        """The folder on this machine, downloaded if need be.

        Raises:
            FileNotFoundError: There is no such folder or pipeline.
        """
        folder = Path(self.path)
        if not folder.is_dir() and self.path.count("/") == 1 and not self.path.startswith((".", "/", "~")):
            folder = self._downloaded()
        if not (folder / INDEX).is_file():
            raise FileNotFoundError(
                f"{self.path}: no pipeline here ({INDEX} is missing); give the folder of a saved pipeline or a hub name"
            )
        return folder

    def component(self, name: str) -> Any:
        """Load one part.

        Raises:
            KeyError: The pipeline has no such part.
            ValueError: The part is neither of diffusers or transformers nor ``PatchAutoencoder``.
        """
        index = json.loads((self.folder / INDEX).read_text(encoding="utf-8"))
        if name not in index or not isinstance(index[name], list):
            parts = ", ".join(part for part, value in index.items() if isinstance(value, list))
            raise KeyError(f"{self.path}: {index.get('_class_name')} has no part {name!r}; it has {parts}")
        library, class_name = index[name]
        if class_name is None:
            return None
        if library not in LIBRARIES and (library, class_name) not in OWN_PARTS:
            own = ", ".join(kind for _, kind in OWN_PARTS)
            raise ValueError(
                f"{self.path}: {name} is {class_name!r} of {library!r}; only parts of {' and '.join(LIBRARIES)} are "
                f"loaded, and {own} of this package"
            )
        kind = getattr(importlib.import_module(library), class_name)
        if not issubclass(kind, torch.nn.Module):
            return kind.from_pretrained(self.folder / name)
        key = "dtype" if library == "transformers" else "torch_dtype"
        dtype = {"vae": "float32", "transformer": self.weights_in}.get(name, self.dtype)
        return kind.from_pretrained(self.folder / name, use_safetensors=True, **{key: getattr(torch, dtype)}).eval()

    def fingerprint(self, names: Sequence[str]) -> str:
        """See ``PipelineStart``; reads heads and a few values of the files, and loads no model."""
        return f"{folder_fingerprint(self.folder, names)}-{self.dtype}"

    def save(self, folder: str | Path) -> None:
        """Write the whole pipeline, in ``dtype``, to another folder."""
        from diffusers import DiffusionPipeline

        for module, _ in OWN_PARTS:  # diffusers finds a part of another library only where its module is loaded
            importlib.import_module(module)
        pipeline = DiffusionPipeline.from_pretrained(
            self.folder, torch_dtype=getattr(torch, self.dtype), use_safetensors=True, local_files_only=True
        )
        pipeline.save_pretrained(folder, safe_serialization=True)

    def _downloaded(self) -> Path:
        from diffusers import DiffusionPipeline

        try:
            where = DiffusionPipeline.download(
                self.path, revision=self.revision, use_safetensors=True, local_files_only=self.local_files_only
            )
        except (OSError, ValueError) as error:
            place = "this machine has no copy of it" if self.local_files_only else "the hub does not give it"
            first = str(error).strip().split("\n")[0]
            raise FileNotFoundError(f"{self.path}: there is no such folder, and {place} ({first})") from error
        return Path(where)


class TinyPipeline(ABC):
    """Toy parts of a stock pipeline's own classes, with random weights of a fixed seed.

    A subclass names its parts, builds each of them, and names its pipeline's class.
    """

    seed: int
    parts: tuple[str, ...]

    @abstractmethod
    def pipeline_class(self) -> Any:
        """The stock diffusers pipeline."""

    @abstractmethod
    def _build(self, name: str) -> Any:
        """Build one part; random numbers come from torch's own generator, seeded for this part."""

    def component(self, name: str) -> Any:
        """Build one part, the same one at every call.

        Raises:
            KeyError: The pipeline has no such part.
        """
        if name not in self.parts:
            raise KeyError(f"{type(self).__name__} has no part {name!r}; it has {', '.join(self.parts)}")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1000 * self.seed + self.parts.index(name))
            part = self._build(name)
        return part.eval() if isinstance(part, torch.nn.Module) else part

    def fingerprint(self, names: Sequence[str]) -> str:
        """See ``PipelineStart``."""
        with tempfile.TemporaryDirectory() as folder, _no_progress_bars():
            for name in names:
                self.component(name).save_pretrained(Path(folder) / name)
            return folder_fingerprint(Path(folder), names)

    def save(self, folder: str | Path) -> None:
        """See ``PipelineStart``."""
        pipeline = self.pipeline_class()(**{name: self.component(name) for name in self.parts})
        pipeline.save_pretrained(folder, safe_serialization=True)


def folder_fingerprint(folder: Path, names: Sequence[str]) -> str:
    """SHA-256 (32 hex digits) over configs, tokenizer files, and names, shapes and a sample of weights of some parts.

    Args:
        folder: A pipeline's folder.
        names: The parts that count; one that has no folder counts as absent.
    """
    from safetensors import safe_open

    digest = hashlib.sha256()
    for name in names:
        for path in sorted(path for path in (folder / name).rglob("*") if path.is_file()):
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
            if path.suffix in (".json", ".txt", ".model", ".jinja"):
                digest.update(hashlib.sha256(path.read_bytes()).digest())
            elif path.suffix == ".safetensors":
                with safe_open(path, framework="pt") as file:
                    keys = sorted(file.keys())
                    for key in keys:
                        digest.update(f"{key} {file.get_slice(key).get_shape()}\n".encode())
                    for key in keys[:: max(1, len(keys) // SAMPLED_TENSORS)]:
                        digest.update(_first_values(file.get_slice(key)))
    return digest.hexdigest()[:32]


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Without transformers' bars, which are for what takes long."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _first_values(tensor: Any) -> bytes:
    """The first values of a tensor on disk, without reading the rest."""
    shape = tensor.get_shape()
    values = tensor[:] if len(shape) < 2 else tensor[0]
    return values.flatten()[:SAMPLED_VALUES].float().numpy().tobytes()

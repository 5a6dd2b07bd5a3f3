"""Pictures with the prompts that they belong to: what a policy is taught to draw before it meets a critic."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from firm_lightning.data.batching import AsListed, ResumableData, ShuffledOrder
from firm_lightning.data.issues import RecordIssues
from firm_lightning.data.prompt_rows import read_rows
from firm_lightning.data.prompts import image_ref, prompt_text
from firm_lightning.data.records import BadRecord, OnBadRecord, kind_of
from firm_lightning.data.text_records import only_jsonl
from firm_lightning.pictures import MAX_PIXELS, image_size, open_image
from firm_lightning.types import ImageRef, Prompt

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Drawing:
    """A prompt, the picture that belongs to it, and the record's place in its file."""

    prompt: Prompt
    picture: Image.Image
    place: int


class DrawingFile(Dataset[Drawing]):
    """Reads a JSONL file of ``{"prompt", "image", "source"}`` with the pictures beside it.

    ``image`` is the picture to learn, ``source`` (for editing) the one that the instruction is about; both are paths
    below the folder of the file. ``id`` may be given; the same prompt may come with many pictures.

    Args:
        path: The file, or a folder that holds exactly one ``.jsonl``.
        on_bad_record: ``stop`` at the first bad record, or ``skip``, count and list them.
        max_pixels: Largest width x height of a picture.
        limit: How many good records to read, from the first; all of them if null.
    """

    def __init__(
        self,
        *,
        path: Path,
        on_bad_record: OnBadRecord = "stop",
        max_pixels: int = MAX_PIXELS,
        limit: int | None = None,
    ) -> None:
        if on_bad_record not in ("stop", "skip"):
            raise ValueError(f"on_bad_record must be 'stop' or 'skip', found {on_bad_record!r}")
        self.path = Path(path)
        self.on_bad_record: OnBadRecord = on_bad_record
        self.max_pixels = max_pixels
        self.limit = limit
        self._issues = RecordIssues()
        self._records: list[tuple[Prompt, ImageRef]] | None = None

    def open(self) -> list[tuple[Prompt, ImageRef]]:
        """Read and check every record once; of the pictures the heads.

        Raises:
            BadRecord: The first bad record if ``on_bad_record`` is ``stop``, or no good record is left.
        """
        if self._records is None:
            self._records = self._read()
        return self._records

    @property
    def issues(self) -> RecordIssues:
        """What was left out (empty with ``on_bad_record: stop``, which raises instead)."""
        self.open()
        return self._issues

    def __len__(self) -> int:
        return len(self.open())

    def __getitem__(self, index: int) -> Drawing:
        prompt, picture = self.open()[index]
        return Drawing(prompt, open_image(picture, origin=prompt.origin, max_pixels=self.max_pixels), index)

    def _read(self) -> list[tuple[Prompt, ImageRef]]:
        path = only_jsonl(self.path)
        issues, kept = RecordIssues(), []
        for row in read_rows(path):
            issues.total += 1
            try:
                kept.append(self._record(row.value, f"{row.number:06d}", path.parent, row.origin))
            except BadRecord as error:
                if self.on_bad_record == "stop":
                    raise
                issues.add(error)
            if len(kept) == self.limit:
                break
        if not kept:
            raise BadRecord(str(path), f"no good record left: {issues.summary()}")
        if issues:
            _log.warning("%s: %s", path, issues.summary())
        self._issues = issues
        return kept

    def _record(self, raw: Any, number: str, root: Path, origin: str) -> tuple[Prompt, ImageRef]:
        if isinstance(raw, BadRecord):
            raise raw
        if not isinstance(raw, dict):
            raise BadRecord(origin, f"a record must be an object, found {kind_of(raw)}")
        text, _ = prompt_text(raw, origin)
        picture, source = image_ref(raw, "image", root, origin), image_ref(raw, "source", root, origin)
        if picture is None:
            raise BadRecord(origin, "'image' is missing", "It names the picture that is to be learnt.")
        for ref in (picture, source):
            if ref is not None:
                image_size(ref, origin=origin, max_pixels=self.max_pixels)
        return Prompt(id=str(raw.get("id") or number), text=text, source=source, origin=origin), picture


class Drawings(ResumableData):
    """Every picture once an epoch, in an order that depends on seed and epoch alone.

    Args:
        train: What is learnt from.
        val: What is not; null: no validation.
        batch_size: Pictures of a batch, on each device.
        num_workers: Processes that open pictures.
        seed: Seed of the order.
    """

    def __init__(
        self,
        *,
        train: DrawingFile,
        val: DrawingFile | None = None,
        batch_size: int = 16,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.train = train
        self.val = val
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.seed = seed

    def setup(self, stage: str) -> None:
        """Read and check the files before anything expensive."""
        if stage == "fit":
            self.train.open()
        if stage in ("fit", "validate") and self.val is not None:
            self.val.open()

    def prompts(self) -> list[Prompt]:
        """The prompt of every record, of ``train`` and then of ``val``."""
        files = (self.train, self.val) if self.val is not None else (self.train,)
        return [prompt for file in files for prompt, _ in file.open()]

    def train_dataloader(self) -> DataLoader[Any]:
        """Shuffled; the last pictures that fill no batch are left for another epoch."""
        assert self.trainer is not None
        order = ShuffledOrder(
            len(self.train),
            batch_size=self.batch_size,
            seed=self.seed,
            num_replicas=self.trainer.world_size,
            rank=self.trainer.global_rank,
        )
        return self._loader(self.train, sampler=self.resumed(order), drop_last=True)

    def val_dataloader(self) -> DataLoader[Any] | list[Any]:
        """In file order; nothing where there is none."""
        return self._loader(self.val) if self.val is not None else []

    def test_dataloader(self) -> Any:
        """What the module evaluates on; Lightning asks the data module alone where there is one."""
        return self._of_module().test_dataloader()

    def predict_dataloader(self) -> Any:
        """As for ``test``."""
        return self._of_module().predict_dataloader()

    def _of_module(self) -> pl.LightningModule:
        assert self.trainer is not None
        return self.trainer.lightning_module

    def _loader(self, file: DrawingFile, **order: Any) -> DataLoader[Any]:
        return DataLoader(file, batch_size=self.batch_size, num_workers=self.num_workers, collate_fn=AsListed, **order)

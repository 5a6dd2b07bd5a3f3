"""Scoring data for Lightning: judgements -> questions and answers -> batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.utils.data import DataLoader, Dataset, DistributedSampler

from firm_lightning.data.batching import LengthGroupedSampler, ResumableData
from firm_lightning.data.images import open_images
from firm_lightning.data.reader import Reader
from firm_lightning.data.records import BadRecord
from firm_lightning.protocols import AnswerFormat
from firm_lightning.rewards.answers import BoxedAnswer, JsonAnswer
from firm_lightning.rewards.rubrics import Rubric, load_rubric
from firm_lightning.types import TASKS, Exchange, Judgement, Task

MOST_BAD_IN_A_ROW = 100
"""So many unreadable records in a row are no accident: training stops."""


class Exchanges(Dataset[Exchange | None]):
    """Judgements of a reader as exchanges: pictures opened, rubric applied, answer written.

    Args:
        reader: The records.
        rubrics: The rubric of each task that occurs, for records without a question of their own.
        answers: How the answer of each task is written, for records without an answer of their own; None where answers
            are to be generated and not learnt.
        replace_bad: With a reader that skips bad records: put the next good record in the place of one whose picture
            turns out bad (training) instead of None (measuring, where no record may count twice).
    """

    def __init__(
        self,
        reader: Reader,
        *,
        rubrics: dict[Task, Rubric],
        answers: dict[Task, AnswerFormat] | None,
        replace_bad: bool,
    ) -> None:
        self.reader = reader
        self.rubrics = rubrics
        self.answers = answers
        self.replace_bad = replace_bad

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, index: int) -> Exchange | None:
        for step in range(MOST_BAD_IN_A_ROW):
            try:
                return self.exchange(self.reader[(index + step) % len(self.reader)])
            except BadRecord as error:
                if self.reader.on_bad_record == "stop":
                    raise
                self.reader.issues.add(error)
                if not self.replace_bad:
                    return None
        raise BadRecord(f"record {index}", f"this and the next {MOST_BAD_IN_A_ROW - 1} records cannot be read")

    def exchange(self, judgement: Judgement) -> Exchange:
        """One record as question and answer.

        Raises:
            BadRecord: A picture cannot be opened, a rubric is missing, or there is no reasoning to learn.
        """
        question = judgement.question or self._rubric(judgement).question(judgement.prompt)
        return Exchange(judgement.id, tuple(open_images(judgement)), question, self._answer(judgement), judgement)

    def _rubric(self, judgement: Judgement) -> Rubric:
        if judgement.task not in self.rubrics:
            raise BadRecord(
                judgement.origin,
                f"record '{judgement.id}' has task '{judgement.task}' but there is no rubric for it",
                f"Add '{judgement.task}' to data.init_args.rubrics.",
            )
        return self.rubrics[judgement.task]

    def _answer(self, judgement: Judgement) -> str:
        if self.answers is None or judgement.answer:
            return "" if self.answers is None else judgement.answer
        answer_format = self.answers[judgement.task]
        if judgement.score_1to5 is None:
            return ""
        if not judgement.reasoning and isinstance(answer_format, JsonAnswer | BoxedAnswer):
            raise BadRecord(
                judgement.origin,
                f"record '{judgement.id}' has a score but no reasoning to learn",
                "Choose a ScoreOnly answer format to train on scores alone.",
            )
        try:
            return answer_format.write(judgement.reasoning, judgement.score_1to5)
        except ValueError as error:
            raise BadRecord(judgement.origin, f"record '{judgement.id}': {error}") from error


class ScoringData(ResumableData):
    """Scoring sets for training, validation, test and prediction.

    Args:
        train: Records to learn from; batches group records of like length.
        val: Records to validate on during training.
        test: Records with human (or true) scores to test against.
        predict: Records to judge.
        rubrics: For each task the name of a package rubric or the path of a rubric file.
        answers: For each task how answers are written; by default JSON for execution and consistency and
            ``\\boxed{n}`` for alignment and quality, both with reasoning.
        batch_size: Records per device and optimiser step (before accumulation).
        judge_batch_size: Records judged together in validation, test and prediction.
        workers: Processes that open pictures and make batches; 0 does it in the main process.
        seed: Seed of the order of training records.
    """

    def __init__(
        self,
        *,
        train: Reader | None = None,
        val: Reader | None = None,
        test: Reader | None = None,
        predict: Reader | None = None,
        rubrics: dict[str, str] | None = None,
        answers: dict[str, AnswerFormat] | None = None,
        batch_size: int = 1,
        judge_batch_size: int = 16,
        workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for name, given in (("rubrics", rubrics), ("answers", answers)):
            for task in given or {}:
                if task not in TASKS:
                    raise ValueError(f"{name}: task '{task}' is not one of {', '.join(TASKS)}")
        self.train, self.val, self.test, self.predict = train, val, test, predict
        self.rubrics = {task: (rubrics or {}).get(task, task) for task in TASKS}
        defaults: dict[Task, AnswerFormat] = {
            "execution": JsonAnswer(),
            "consistency": JsonAnswer(),
            "alignment": BoxedAnswer(),
            "quality": BoxedAnswer(),
        }
        self.answers: dict[Task, AnswerFormat] = {task: (answers or {}).get(task, defaults[task]) for task in TASKS}
        self.batch_size = batch_size
        self.judge_batch_size = judge_batch_size
        self.workers = workers
        self.seed = seed

    def train_dataloader(self) -> DataLoader[Any]:
        """Every record once an epoch, in an order that depends on seed and epoch alone."""
        reader = self._reader("train")
        assert self.trainer is not None
        sampler = LengthGroupedSampler(
            reader.lengths(),
            batch_size=self.batch_size,
            seed=self.seed,
            num_replicas=self.trainer.world_size,
            rank=self.trainer.global_rank,
        )
        return self._loader(reader, self.batch_size, learn=True, replace_bad=True, sampler=self.resumed(sampler))

    def val_dataloader(self) -> DataLoader[Any] | list[Any]:
        """Validation records in file order; nothing where there are none."""
        return self._loader(self.val, self.judge_batch_size, learn=True) if self.val is not None else []

    def test_dataloader(self) -> DataLoader[Any]:
        """Test records in file order."""
        return self._loader(self._reader("test"), self.judge_batch_size, learn=False)

    def predict_dataloader(self) -> DataLoader[Any]:
        """Records to judge in file order."""
        return self._loader(self._reader("predict"), self.judge_batch_size, learn=False)

    def loaded_rubrics(self) -> dict[Task, Rubric]:
        """The rubrics of all tasks; raises where a file is missing or lacks its placeholder."""
        return {task: load_rubric(self.rubrics[task], task) for task in TASKS}

    def _reader(self, stage: str) -> Reader:
        reader: Reader | None = getattr(self, stage)
        if reader is None:
            raise ValueError(f"data.init_args.{stage} is empty: there are no records to {stage} on")
        return reader

    def _loader(
        self,
        reader: Reader,
        batch_size: int,
        *,
        learn: bool,
        replace_bad: bool = False,
        sampler: DistributedSampler[int] | None = None,
    ) -> DataLoader[Any]:
        assert self.trainer is not None
        reader.open()
        exchanges = Exchanges(
            reader, rubrics=self.loaded_rubrics(), answers=self.answers if learn else None, replace_bad=replace_bad
        )
        return DataLoader(
            exchanges,
            batch_size=batch_size,
            sampler=sampler,
            shuffle=False,
            num_workers=self.workers,
            collate_fn=_Collate(self.trainer.lightning_module),
            persistent_workers=self.workers > 0,
        )


class _Collate:
    """The module's own collate, less the records that could not be read."""

    def __init__(self, module: Any) -> None:
        self.collate = module.collate

    def __call__(self, exchanges: Sequence[Exchange | None]) -> Any:
        return self.collate([exchange for exchange in exchanges if exchange is not None])

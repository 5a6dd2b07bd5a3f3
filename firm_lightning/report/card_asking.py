"""Asks a critic for its card: in batches, each kept as it is answered; the same requests again; a second engine."""

from __future__ import annotations

import copy
import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from firm_lightning.protocols import Critic
from firm_lightning.report.card_answers import AnswerFile, Key, Said
from firm_lightning.report.card_records import CardRecords, RecordPlace
from firm_lightning.types import Task

PREDICTIONS = "predictions.jsonl"
RETEST = "retest.jsonl"
PARITY = "parity.jsonl"
ASKED = "asked.json"
"""What decides the answers that lie beside it: a run with another critic, data or rubrics may not go on with them."""

Progress = Callable[[str, int, int], None]
"""What is being done, how many are answered, how many there are."""


def nothing_shown(what: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True, slots=True)
class Asking:
    """How a critic is asked.

    Attributes:
        batch_size: Records that are opened and asked together; what they are answered is kept before the next.
        retest: How many times the same requests are asked again.
        repeats: Records of each task that are asked again, and by the second engine; None: all.
        seed: Of the order in which they are asked again: beside other neighbours, as in use.
    """

    batch_size: int
    retest: int
    repeats: int | None
    seed: int


@dataclass(frozen=True, slots=True)
class Answered:
    """All answers of a card: the first ones, those of each time they were asked again, those of the second engine."""

    first: AnswerFile
    again: tuple[Mapping[tuple[Task, str], Said], ...]
    parity: tuple[Mapping[tuple[Task, str], Said], ...]


def ask_all(
    critic: Critic, parity: Critic | None, records: CardRecords, folder: Path, how: Asking, progress: Progress
) -> Answered:
    """Ask what is not answered yet.

    Raises:
        BadRecord: The folder holds answers that no card run wrote, or a picture has gone bad.
        ValueError: A critic gives more or fewer answers than questions.
    """
    first, again, second = (AnswerFile(folder / name) for name in (PREDICTIONS, RETEST, PARITY))
    fresh = without_memory(critic)
    _ask(fresh, records, records.places, 0, first, how, "judging", progress)
    chosen = records.spread(how.repeats)
    for number in range(1, how.retest + 1):
        shuffled = random.Random(how.seed + number).sample(chosen, len(chosen))
        _ask(fresh, records, shuffled, number, again, how, f"asking again, {number} of {how.retest}", progress)
    if parity is not None:
        _ask(without_memory(parity), records, chosen, 0, second, how, "asking the second engine", progress)
    keys = {(record.task, record.id) for record in chosen}
    return Answered(
        first=first,
        again=tuple(again.times(number, keys) for number in range(1, how.retest + 1)),
        parity=() if parity is None else (second.times(0, keys),),
    )


def go_on_from(folder: Path, facts: Mapping[str, Any]) -> None:
    """Begin the answers of a folder, or find that those in it come from the same critic, records and rubrics.

    A fact that is not there yet (a second engine) is added.

    Raises:
        ValueError: They do not; says which fact differs.
    """
    path = folder / ASKED
    before = _read_facts(path) if path.is_file() else {}
    differing = [name for name in facts if name in before and before[name] != facts[name]]
    if differing:
        lines = [f"{name}: {before[name]} there, {facts[name]} here" for name in differing]
        raise ValueError(
            f"{path}: the answers in this folder were given by another critic or to other questions; "
            f"{'; '.join(lines)}. Choose another output, or remove the folder"
        )
    strays = [name for name in (PREDICTIONS, RETEST, PARITY) if (folder / name).exists() and not before]
    if strays:
        stray = folder / strays[0]
        raise ValueError(f"{stray}: no card run wrote it ({ASKED} is missing beside it); choose another output")
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.part")
    unfinished.write_text(json.dumps(before | dict(facts), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    unfinished.replace(path)


def without_memory(critic: Critic) -> Critic:
    """The critic without its cache on disk, which would answer for it: the card measures what it says and how fast."""
    if getattr(critic, "cache_folder", None) is None or not hasattr(critic, "__setstate__"):
        return critic
    fresh: Any = copy.copy(critic)
    fresh.__setstate__({**fresh.__getstate__(), "cache_folder": None})
    return cast(Critic, fresh)


def _ask(
    critic: Critic,
    records: CardRecords,
    chosen: Sequence[RecordPlace],
    number: int,
    answers: AnswerFile,
    how: Asking,
    what: str,
    progress: Progress,
) -> None:
    left = [record for record in chosen if (number, record.task, record.id) not in answers]
    done = len(chosen) - len(left)
    progress(what, done, len(chosen))
    if left and number == 0:
        critic.judge([records.request(left[0])])  # loads the weights, which is no part of the speed
    for begin in range(0, len(left), how.batch_size):
        batch = left[begin : begin + how.batch_size]
        keys: list[Key] = [(number, record.task, record.id) for record in batch]
        requests = [records.request(record) for record in batch]
        started = time.perf_counter()
        verdicts = critic.judge(requests)
        seconds = time.perf_counter() - started
        if len(verdicts) != len(batch):
            raise ValueError(
                f"{type(critic).__name__} gave {len(verdicts)} answers to {len(batch)} questions; "
                "a critic answers every question, in order"
            )
        answers.add(zip(keys, verdicts, strict=True), seconds_each=seconds / len(batch))
        done += len(batch)
        progress(what, done, len(chosen))


def _read_facts(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read ({error}). Choose another output, or remove the folder") from None
    return facts if isinstance(facts, dict) else {}

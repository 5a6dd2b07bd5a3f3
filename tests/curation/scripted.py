"""A small curation whose every part can be computed: items, stages, an annotator that writes down what it is asked."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console

from firm_lightning.curation.engine import Engine
from firm_lightning.curation.pipeline import Finisher, ItemSource, Negatives, Pipeline
from firm_lightning.data.jsonl_folder import JsonlWriter
from firm_lightning.data.writing import json_line
from firm_lightning.protocols import Annotator, Stage
from firm_lightning.types import (
    Answer,
    Call,
    CuratedRecord,
    Finding,
    ImageRef,
    Item,
    Rating,
    Refused,
    StageOutput,
    Task,
    Unreadable,
    Words,
)

QUIET = Console(quiet=True)


class Scripted:
    """Answers with what follows from question and pictures, and appends every answer to a file before it gives it.

    About one question in nine has no readable answer, and one in eleven is refused.

    Args:
        name: Its name.
        log: The file; null keeps none.
        pause_s: Time for each answer.
        script: Answers instead.
    """

    def __init__(
        self,
        *,
        name: str = "scripted",
        log: Path | None = None,
        pause_s: float = 0.0,
        script: Callable[[Call], Answer | Refused] | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self.pause_s = pause_s
        self.own_words = script
        self.calls: list[Call] = []

    def answer(self, calls: Sequence[Call], finished: Callable[[int, Answer | Refused], None]) -> None:
        """The last call first, as a server may."""
        for place in reversed(range(len(calls))):
            self.calls.append(calls[place])
            answer = (self.own_words or by_digest)(calls[place])
            if self.log is not None:
                with self.log.open("a") as file:
                    file.write(words(answer) + "\n")
            time.sleep(self.pause_s)
            finished(place, answer)


def by_digest(call: Call) -> Answer | Refused:
    """An answer that the question and the pixels decide."""
    seen = call.question.encode() + b"".join(image.tobytes() for image in call.images)
    digest = hashlib.sha256(seen).digest()
    if digest[0] % 11 == 0:
        return Refused("will not look at this")
    if digest[1] % 9 == 0:
        return Answer("?", tokens_in=1, tokens_out=1)
    return Answer(f"{digest.hex()[:8]} {1 + digest[2] % 5}", tokens_in=len(seen), tokens_out=2)


def words(answer: Answer | Refused) -> str:
    """What an answer or a refusal says."""
    return answer.text if isinstance(answer, Answer) else answer.why


class Scene:
    """A stage: words, a finding (an even number says that it holds), or, with a task, a rating.

    Args:
        name: Its name.
        annotator: Who answers.
        prompt: The question, with {prompt} and the names of what it reads in braces.
        reads: What it reads.
        task: What it rates.
        finds: Whether it gives a finding.
    """

    def __init__(
        self,
        *,
        name: str,
        annotator: Annotator | None,
        prompt: str,
        reads: list[str] | None = None,
        task: Task | None = None,
        finds: bool = False,
    ) -> None:
        self.name = name
        self.annotator = annotator
        self.prompt = prompt
        self.reads = tuple(reads or ())
        self.task: Task | None = task
        self.finds = finds
        self.sees_prompt = "{prompt}" in prompt

    @property
    def prompt_sha256(self) -> str:
        """Of the prompt."""
        return hashlib.sha256(self.prompt.encode()).hexdigest()

    def pictures(self, item: Item) -> tuple[ImageRef, ...]:
        """All."""
        return item.images

    def question(self, item: Item, outputs: Mapping[str, StageOutput]) -> str | StageOutput:
        """The filled-in prompt; joined up where nobody is to be asked."""
        text = self.prompt.replace("{prompt}", item.prompt)
        for name, output in outputs.items():
            assert isinstance(output, Words)
            text = text.replace(f"{{{name}}}", output.text)
        return text if self.annotator is not None else Words(text)

    def read(self, answer: Answer, item: Item, outputs: Mapping[str, StageOutput]) -> StageOutput | Unreadable:
        """The number at the end."""
        head, _, number = answer.text.rpartition(" ")
        if not number.isdigit():
            return Unreadable(answer.text, "there is no number at the end")
        if self.finds:
            return Finding(int(number) % 2 == 0, head)
        return Rating(self.task, int(number), head) if self.task is not None else Words(answer.text)


class ItemLines:
    """Items of a JSONL file.

    Args:
        path: The file.
    """

    def __init__(self, *, path: Path) -> None:
        self.path = path

    def __iter__(self) -> Iterator[Item]:
        for number, line in enumerate(self.path.read_text().splitlines(), start=1):
            raw = json.loads(line)
            images = tuple(ImageRef(name, root=self.path.parent) for name in raw.pop("images"))
            yield Item(images=images, origin=f"{self.path.name}:{number}", **raw)


class Plain:
    """Finishes with the package's layout.

    Args:
        title: Written into the set.
    """

    def __init__(self, *, title: str = "plain") -> None:
        self.title = title
        self.written = 0

    def write(self, records: Sequence[CuratedRecord], folder: Path) -> None:
        """Records, provenance and title."""
        self.written += 1
        JsonlWriter().write((record.judgement for record in records), folder)
        (folder / "provenance.jsonl").write_text("".join(json_line(dict(each.provenance)) for each in records))
        (folder / "README.md").write_text(f"{self.title}: {len(records)}\n")


def write_items(folder: Path, count: int) -> Path:
    """Pairs of small pictures, each of its own colour."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(count):
        names = []
        for side in ("source", "edited"):
            names.append(f"{side}{number}.png")
            Image.new("RGB", (4, 3), (number % 256, number // 256, side == "edited")).save(folder / names[-1])
        item = {"id": f"i{number}", "images": names, "prompt": f"make it {number}", "dataset": "tests"}
        lines.append(json.dumps(item))
    path = folder / "items.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def editing(annotator: Annotator, *, share: float = 0.5) -> Pipeline:
    """Two descriptions, a report that nobody is asked for, two ratings; and negatives."""
    stages: list[Stage] = [
        Scene(name="obvious", annotator=annotator, prompt="What differs?"),
        Scene(name="details", annotator=annotator, prompt="What differs in detail?"),
        Scene(name="report", annotator=None, prompt="{obvious}; {details}", reads=["obvious", "details"]),
        Scene(
            name="execution",
            annotator=annotator,
            prompt="Is {prompt} done? {report}",
            reads=["report"],
            task="execution",
        ),
        Scene(
            name="consistency",
            annotator=annotator,
            prompt="Is all but {prompt} kept? {report}",
            reads=["report"],
            task="consistency",
        ),
    ]
    rewrite = Scene(name="rewrite", annotator=annotator, prompt="Another one than {prompt}?")
    check = Scene(name="check", annotator=annotator, prompt="Is {prompt} met?", finds=True)
    return Pipeline(stages=stages, negatives=Negatives(share=share, rewrite=rewrite, check=check))


def engine(output: Path, items: ItemSource, pipeline: Pipeline, finish: Finisher | None = None, **other: Any) -> Engine:
    """An engine with small settings."""
    settings = {"block_size": 3, "retries": 1, "retest_share": 0.0, "prices": {}, "console": QUIET, **other}
    return Engine(output=output, items=items, pipeline=pipeline, finish=finish or Plain(), **settings)


def files(folder: Path) -> dict[str, bytes]:
    """Everything below a folder, byte by byte."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}

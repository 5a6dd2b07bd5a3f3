"""From the turns of a recorded chat to question, answer, score and reasoning."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from firm_lightning.data.records import BadRecord
from firm_lightning.rewards.picture_marks import IMAGE_MARK
from firm_lightning.rewards.reading import read_verdict
from firm_lightning.types import SCORES_1TO5, TASKS, Task, Unreadable

_PLAIN_SCORES = frozenset(repr([score]) for score in SCORES_1TO5)
_ENDS_IN_BOX = re.compile(r"[.!\n] ?\\boxed\{[1-5]\}\Z")
_USER, _ASSISTANT, _SYSTEM = ("user", "human"), ("assistant", "gpt"), ("system",)


@dataclass(frozen=True, slots=True)
class Chat:
    """One question and one answer, verbatim; the answer is empty if the chat has none."""

    question: str
    answer: str


def chat_from_turns(turns: Any, *, origin: str, drop_system: bool) -> Chat:
    """Read one user turn and at most one assistant turn, with keys ``role``/``content`` or ``from``/``value``.

    Raises:
        BadRecord: for any other number of turns, an unknown role, or a system turn that may not be dropped.
    """
    if not isinstance(turns, list) or not turns:
        raise BadRecord(origin, "the chat must be a list of turns")
    texts: dict[str, list[str]] = {"user": [], "assistant": [], "system": []}
    for turn in turns:
        role, text = _turn(turn, origin)
        texts[role].append(text)
    if texts["system"] and not drop_system:
        remedy = "Set `drop_system: true` if the critic is to be trained without it."
        raise BadRecord(origin, "the chat has a system turn, which a judgement cannot hold", remedy)
    users, answers = len(texts["user"]), len(texts["assistant"])
    if users != 1 or answers > 1:
        raise BadRecord(origin, f"a chat of one question and one answer is needed, found {users} and {answers}")
    return Chat(question=texts["user"][0], answer="".join(texts["assistant"]))


def add_verdict(raw: dict[str, Any], *, labelled: bool, origin: str) -> None:
    """Set ``score`` and ``reasoning`` of a raw record from its ``answer``, where the record itself does not state them.

    An answer that cannot be read gives no score: an error if ``labelled``, otherwise a record still to be judged.
    """
    if raw.get("score") is not None or not raw.get("answer"):
        return
    verdict = read_verdict(raw["answer"])
    if isinstance(verdict, Unreadable):
        if labelled:
            raise BadRecord(origin, f"no score can be read from the answer ({verdict.why})")
        return
    raw["score"] = verdict.score_1to5
    raw["reasoning"] = raw.get("reasoning") or verdict.reasoning


def has_plain_verdict(answer: str) -> bool:
    """Whether an answer is sure to be readable: one whole JSON object, or one box that ends the text. A quick check."""
    if answer.startswith("{"):
        try:
            value = json.loads(answer)
        except (ValueError, RecursionError):
            return False
        return (
            value.keys() == {"reasoning", "score"}
            and type(value["reasoning"]) is str
            and repr(value["score"]) in _PLAIN_SCORES
            and answer.count('"score"') == 1
        )
    return answer.count("boxed") == 1 and _ENDS_IN_BOX.search(answer) is not None and "<" not in answer


def check_image_marks(question: str, images: int, *, origin: str) -> None:
    """A question that marks the places of its pictures must mark each of them."""
    marks = question.count(IMAGE_MARK)
    if marks not in (0, images):
        raise BadRecord(origin, f"the question has {marks} {IMAGE_MARK} marks for {images} pictures")


class QuestionReading:
    """Finds prompt and task in the text of a question.

    Args:
        prompt_pattern: Regular expression with one group, the prompt. None takes the whole question as prompt.
        task_patterns: For each task a regular expression that is found in its questions only.

    Raises:
        ValueError: for a pattern that is not a regular expression, or has not exactly one group.
    """

    def __init__(self, *, prompt_pattern: str | None, task_patterns: dict[Task, str] | None) -> None:
        self._prompt = _compiled("prompt_pattern", prompt_pattern) if prompt_pattern else None
        if self._prompt is not None and self._prompt.groups != 1:
            raise ValueError(f"prompt_pattern needs exactly one group, found {self._prompt.groups}: {prompt_pattern}")
        patterns = task_patterns or {}
        if unknown := sorted(set(patterns) - set(TASKS)):
            raise ValueError(f"task_patterns: unknown task {unknown[0]!r}. Known tasks: {', '.join(TASKS)}.")
        self._tasks = {task: _compiled(f"task_patterns.{task}", text) for task, text in patterns.items()}

    def prompt(self, question: str, *, origin: str) -> str:
        """The prompt inside a question; raises ``BadRecord`` if the pattern is not found."""
        if self._prompt is None:
            return question
        found = self._prompt.search(question)
        if found is None:
            raise BadRecord(origin, "prompt_pattern is not found in the question")
        return (found.group(1) or "").strip()

    def task(self, question: str, *, origin: str) -> Task:
        """The one task whose pattern is found in the question; raises ``BadRecord`` if none or several are."""
        tasks = [task for task, pattern in self._tasks.items() if pattern.search(question)]
        if len(tasks) != 1:
            found = ", ".join(tasks) or "none"
            raise BadRecord(origin, f"one task is needed, found {found}", "Set `task`, or correct `task_patterns`.")
        return tasks[0]


def _turn(turn: Any, origin: str) -> tuple[str, str]:
    if not isinstance(turn, dict):
        raise BadRecord(origin, "a turn of the chat must be an object")
    role, text = turn.get("role", turn.get("from")), turn.get("content", turn.get("value"))
    for name, spellings in (("user", _USER), ("assistant", _ASSISTANT), ("system", _SYSTEM)):
        if role in spellings:
            if not isinstance(text, str):
                raise BadRecord(origin, f"the {name} turn must be text")
            return name, text
    raise BadRecord(origin, f"unknown role {role!r} in the chat", "Known roles: user/human, assistant/gpt, system.")


def _compiled(name: str, text: str) -> re.Pattern[str]:
    try:
        return re.compile(text, re.DOTALL)
    except re.error as error:
        raise ValueError(f"{name} is not a regular expression ({error}): {text}") from error

"""The alignment card: whether a critic may be trusted, as ``card.json`` for programs and ``index.html`` for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from firm_lightning.critics.identity import CriticIdentity, identify
from firm_lightning.data.fingerprints import fingerprint
from firm_lightning.data.reader import Reader
from firm_lightning.data.records import OnBadRecord
from firm_lightning.modules.alignment_card import CARD_FORMAT, CARD_NAME, seal
from firm_lightning.protocols import Critic
from firm_lightning.report.card_asking import Answered, Asking, Progress, ask_all, go_on_from, nothing_shown
from firm_lightning.report.card_machine import answer_tokens, hardware_of, versions
from firm_lightning.report.card_measuring import bias_by_score, confusion, sameness, speed, unreadable_reasons
from firm_lightning.report.card_page import render_card
from firm_lightning.report.card_records import CardRecords, card_records, write_human
from firm_lightning.report.command import agreement_report
from firm_lightning.report.joining import read_human
from firm_lightning.report.measuring import Bootstrap
from firm_lightning.report.summary import ReportSummary

PAGE_NAME: Final = "index.html"
SAME: Final = ("answers", "scores")
"""Of a repetition, the shares that are figures of the task."""
NO_MODEL: Final = "the card was made from predictions that were there: no critic was asked"


@dataclass(frozen=True, slots=True)
class Comparing:
    """How answers are held against people; see ``agreement_report``."""

    scale: tuple[int, int] = (1, 5)
    resamples: int = 1000
    seed: int = 0
    worst: int = 12
    images_root: Path | None = None
    on_bad_record: OnBadRecord = "stop"


@dataclass(frozen=True, slots=True)
class WrittenCard:
    """A card on disk, its content, and the agreement report beside it."""

    content: Mapping[str, Any]
    json_file: Path
    html_file: Path
    agreement: ReportSummary


def card_of_critic(
    *,
    critic: Critic,
    data: Reader,
    output: Path,
    rubrics: Mapping[str, str],
    human: Path | None,
    parity: Critic | None,
    asking: Asking,
    comparing: Comparing,
    hardware: str = "",
    progress: Progress = nothing_shown,
) -> WrittenCard:
    """Ask a critic and write its card. Answers that an earlier, killed run left in ``output`` are not asked again.

    Args:
        critic: Who is measured.
        data: The records.
        output: Folder of the card; answers are kept in it as they come.
        rubrics: For each task the name of a package rubric or the path of a rubric file.
        human: JSONL file of human scores; None compares with the records' own.
        parity: A second engine of the same critic, which is asked some of the records too.
        asking: How they are asked.
        comparing: How answers are held against people.
        hardware: What the critic runs on; empty finds out.
        progress: Told what is being done.

    Raises:
        BadRecord: A record or a file is bad, or nothing can be compared.
        ValueError: The folder holds another critic's answers, or a setting is out of range.
        FileNotFoundError: A critic or a rubric is not there.
    """
    who, second = identify(critic), None if parity is None else identify(parity)
    wanted = None if human is None else {(r.task, r.id) for r in _people(human, comparing)}
    records = card_records(data, rubrics, wanted)
    go_on_from(output, _facts(who, second, records))
    answered = ask_all(critic, parity, records, output, asking, progress)
    if human is None:
        human = output / "human.jsonl"
        write_human(records.judgements(), human)
    comparing = replace(comparing, images_root=comparing.images_root or records.images_root())
    summary = _compare(answered.first.path, human, output, comparing)
    first = list(answered.first)
    tokens = answer_tokens(critic, (said.text for said in first))
    content = {
        **_head(who),
        "parity_critic": None if second is None else _identity(second),
        "rubrics": {
            task: {"name": rubric.name, "sha256": rubric.sha256}
            for task, rubric in records.rubrics.items()
            if records.asked_with_rubric(task)
        },
        "data": {
            "source": str(getattr(data, "path", type(data).__name__)),
            "sha256": f"sha256:{records.sha256}",
            "records": len(records.places),
            "skipped": list(records.skipped),
            "human": None if wanted is None else fingerprint(human),
        },
        "tasks": _tasks(summary, comparing, answered),
        "speed": speed(first, tokens, hardware or hardware_of(critic)),
        "not_measured": _not_measured(asking, parity, summary),
    }
    return _write(content, output, summary, comparing)


def card_of_predictions(*, predictions: Path, human: Path, output: Path, comparing: Comparing) -> WrittenCard:
    """Write the card of predictions that are there: what needs a critic is stated as not measured.

    Raises:
        BadRecord: A record or a file is bad, or the two files have no item in common.
        ValueError: A setting is out of range.
    """
    summary = _compare(predictions, human, output, comparing)
    content = {
        **_head(None),
        "parity_critic": None,
        "rubrics": {},
        "data": {
            "source": f"{predictions.name} against {human.name}",
            "sha256": fingerprint(predictions),
            "records": len(summary.joined.items),
            "skipped": [str(error) for error in (*summary.skipped_predictions, *summary.skipped_human)],
            "human": fingerprint(human),
        },
        "tasks": _tasks(summary, comparing, None),
        "speed": None,
        "not_measured": dict.fromkeys(("critic", "rubrics", "retest", "parity", "speed"), NO_MODEL)
        | _no_ceiling(summary),
    }
    return _write(content, output, summary, comparing)


def _people(human: Path, comparing: Comparing) -> list[Any]:
    return read_human(human, scale=comparing.scale, on_bad_record=comparing.on_bad_record)[0]


def _compare(predictions: Path, human: Path, output: Path, comparing: Comparing) -> ReportSummary:
    return agreement_report(
        predictions=predictions,
        human=human,
        output=output,
        images_root=comparing.images_root,
        scale=comparing.scale,
        resamples=comparing.resamples,
        seed=comparing.seed,
        worst=comparing.worst,
        on_bad_record=comparing.on_bad_record,
    )


def _facts(who: CriticIdentity, second: CriticIdentity | None, records: CardRecords) -> dict[str, Any]:
    """What the answers in the folder depend on."""
    facts: dict[str, Any] = {
        "critic": who.fingerprint,
        "settings": dict(who.settings),
        "records": f"sha256:{records.sha256}",
        "rubrics": {task: rubric.sha256 for task, rubric in records.rubrics.items()},
    }
    if second is not None:
        facts |= {"second engine": f"{second.kind} {second.fingerprint}", "its settings": dict(second.settings)}
    return facts


def _head(who: CriticIdentity | None) -> dict[str, Any]:
    return {
        "format": CARD_FORMAT,
        "made_on": datetime.now(UTC).date().isoformat(),
        "versions": versions(),
        "critic": None if who is None else _identity(who),
    }


def _identity(who: CriticIdentity) -> dict[str, Any]:
    return {
        "kind": who.kind,
        "name": who.name,
        "fingerprint": who.fingerprint,
        "files": dict(who.files),
        "settings": dict(who.settings),
    }


def _tasks(summary: ReportSummary, comparing: Comparing, answered: Answered | None) -> dict[str, Any]:
    report = summary.as_json()["tasks"]
    bootstrap = Bootstrap(comparing.resamples, comparing.seed)
    tasks = {}
    for task, found in report.items():
        items = [item for item in summary.joined.items if item.human.task == task]
        overall, expected = dict(found["overall"]), dict(found["expected_score"] or {})
        intervals, of_expected = overall.pop("intervals_95"), expected.pop("intervals_95", {})
        repeats = _repeats(task, answered)
        tasks[task] = {
            "figures": overall
            | {f"expected_{name}": value for name, value in expected.items()}
            | {f"{name}_{part}": same[part] for name, same in repeats.items() if same for part in SAME},
            "intervals_95": intervals | {f"expected_{name}": ends for name, ends in of_expected.items()},
            "human_ceiling": found["human_ceiling"],
            "levels": list(summary.scale.levels),
            "confusion": confusion(items, summary.scale),
            "bias_by_score": bias_by_score(items, summary.scale, bootstrap),
            "by_category": found["category"],
            "by_generator": found["generator"],
            "unreadable_reasons": unreadable_reasons(items),
            **repeats,
        }
    return tasks


def _repeats(task: str, answered: Answered | None) -> dict[str, Any]:
    if answered is None:
        return {"retest": None, "parity": None}
    first = answered.first.times(0)
    return {"retest": sameness(first, answered.again, task), "parity": sameness(first, answered.parity, task)}


def _not_measured(asking: Asking, parity: Critic | None, summary: ReportSummary) -> dict[str, str]:
    reasons = {} if asking.retest else {"retest": "retest is 0: nothing was asked again"}
    if parity is None:
        reasons["parity"] = "no second engine was given"
    return reasons | _no_ceiling(summary)


def _no_ceiling(summary: ReportSummary) -> dict[str, str]:
    if any(task.ceiling is not None for task in summary.tasks):
        return {}
    return {"human_ceiling": "no record has the scores of several raters"}


def _write(content: dict[str, Any], output: Path, summary: ReportSummary, comparing: Comparing) -> WrittenCard:
    content["notices"] = summary.notices()
    content["bootstrap"] = {"resamples": comparing.resamples, "seed": comparing.seed}
    card = seal(content)
    texts = {
        CARD_NAME: json.dumps(card, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        PAGE_NAME: render_card(card),
    }
    for name, text in texts.items():
        unfinished = output / f"{name}.part"
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(output / name)
    return WrittenCard(card, output / CARD_NAME, output / PAGE_NAME, summary)

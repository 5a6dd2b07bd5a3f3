"""The sheet on which people rate an audit's sample: one HTML file that works from disk and reaches no network.

What a record says stands in the page as escaped text and never passes through the script. The page's policy lets only
this one script and style run, by their hashes, so that nothing else could, even if it stood in the page.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from firm_lightning.curation.audit_set import record_digest
from firm_lightning.data.images import open_images
from firm_lightning.report.pictures import data_url
from firm_lightning.report.templates import styles, template
from firm_lightning.rewards.rubrics import PLACEHOLDER, Rubric
from firm_lightning.types import IMAGES_PER_TASK, SCORES_1TO5, Judgement, Task

JPEG_QUALITY = 90
"""Higher than on a report's page: people look for faults, and must not find those of the copy."""
_SCALE_LINE = re.compile(r"^[ \t]*(?P<score>[1-5])[ \t]*[-–:=][ \t]*(?P<meaning>\S.*)$", re.M)
_SHEET_CHARACTERS = 16


@dataclass(frozen=True, slots=True)
class SheetSettings:
    """How a sheet looks.

    Args:
        rubrics: The rubric of each task that is rated.
        show_scores: Whether the annotator's score and reasoning are shown.
        longest_px: Longest side of a picture in the sheet, in pixels.
    """

    rubrics: Mapping[Task, Rubric]
    show_scores: bool = False
    longest_px: int = 640


def render_sheet(judgements: Sequence[Judgement], settings: SheetSettings) -> str:
    """The whole sheet as text.

    Raises:
        BadRecord: if a picture cannot be opened.
    """
    records = [_record_view(judgement, settings) for judgement in judgements]
    _open_first_rubrics(records)
    sheet = _sheet_hash(records)
    css = styles("page.css", "audit_sheet.css")
    script = template("audit_sheet.js.jinja").render(sheet=sheet)
    return template("audit_sheet.html.jinja").render(
        css=css,
        css_hash=_policy_hash(css),
        script=Markup(script),
        script_hash=_policy_hash(script),
        records=records,
        sheet=sheet,
        show_scores=settings.show_scores,
    )


def scale_of(rubric: Rubric) -> dict[int, str]:
    """What each score means by the rubric, from its lines ``5 - ...`` to ``1 - ...``; empty if they are not all there.

    Of a score that has several such lines none is the scale, so the scale is then empty too.
    """
    lines = [(int(match["score"]), match["meaning"].strip()) for match in _SCALE_LINE.finditer(rubric.text)]
    return dict(lines) if sorted(score for score, _ in lines) == list(SCORES_1TO5) else {}


def _record_view(judgement: Judgement, settings: SheetSettings) -> dict[str, Any]:
    rubric = settings.rubrics[judgement.task]
    scale = scale_of(rubric)
    is_edit = IMAGES_PER_TASK[judgement.task] == 2
    captions = ("source", "edited") if is_edit else ("picture",)
    urls = [
        data_url(picture, longest_px=settings.longest_px, jpeg_quality=JPEG_QUALITY)
        for picture in open_images(judgement)
    ]
    return {
        "id": judgement.id,
        "task": judgement.task,
        "digest": record_digest(judgement),
        "prompt": judgement.prompt if PLACEHOLDER in rubric.text else "",
        "prompt_name": "Edit instruction" if is_edit else "Description",
        "pictures": [{"caption": name, "data_url": url} for name, url in zip(captions, urls, strict=True)],
        "scale": [{"score": score, "meaning": scale.get(score, "")} for score in reversed(SCORES_1TO5)],
        "rubric": rubric.text.replace(PLACEHOLDER, judgement.prompt),
        "rubric_is_open": not scale,
        "score": judgement.score_1to5 if settings.show_scores else None,
        "reasoning": judgement.reasoning if settings.show_scores else "",
    }


def _open_first_rubrics(records: Sequence[dict[str, Any]]) -> None:
    """A task's rubric stands open at its first record, and is folded up at the others."""
    met: set[str] = set()
    for record in records:
        record["rubric_is_open"] = record["rubric_is_open"] or record["task"] not in met
        met.add(record["task"])


def _sheet_hash(records: Sequence[dict[str, Any]]) -> str:
    """The sheet's name: ratings are kept under it, so it changes with all that people see of the records."""
    seen = [{name: value for name, value in record.items() if name != "pictures"} for record in records]
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()[:_SHEET_CHARACTERS]


def _policy_hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

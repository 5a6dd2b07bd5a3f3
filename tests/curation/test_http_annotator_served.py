"""A real ``transformers serve`` answers as the local annotator does, and counts tokens as it does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from transformers.utils.import_utils import is_serve_available

from firm_lightning.critics.http_errors import CriticRefuses
from firm_lightning.critics.start import Pretrained
from firm_lightning.curation.http_annotator import HttpAnnotator
from firm_lightning.curation.local_annotator import LocalAnnotator
from firm_lightning.types import Answer, Call, Item, Refused
from tests.critics import test_http_served as served
from tests.critics.small_start import picture

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not is_serve_available(), reason="needs the extra 'serving': pip install 'firm-lightning[serving]'"
    ),
]
folder = served.folder
url = served.url


def calls() -> list[Call]:
    """About none, one and two pictures."""
    return [
        Call(
            Item(f"i{n}", (), ""),
            "describe",
            question,
            tuple(picture(10 * n + k, 48 + 8 * k, 48) for k in range(n % 3)),
        )
        for n, question in enumerate(("Judge it.", "Does the picture show a red circle? " * 3, "Compare <b>é</b>.") * 3)
    ]


def answers(annotator: HttpAnnotator | LocalAnnotator) -> dict[int, Answer | Refused]:
    told: dict[int, Answer | Refused] = {}
    annotator.answer(calls(), told.__setitem__)
    return told


def test_the_answers_and_the_tokens_are_those_of_the_local_annotator(url: str, folder: Path) -> None:
    local = LocalAnnotator(start=Pretrained(path=str(folder), dtype="float32"), name="local", max_new_tokens=24)
    wanted = answers(local)
    assert all(isinstance(answer, Answer) for answer in wanted.values())
    assert len({answer.text for answer in wanted.values() if isinstance(answer, Answer)}) > 6
    over_http = answers(HttpAnnotator(endpoints=[url], model=str(folder), max_new_tokens=24, concurrency=2))
    stripped = {place: replace(answer, text=answer.text.strip()) for place, answer in wanted.items()}
    given = {place: replace(answer, text=answer.text.strip()) for place, answer in over_http.items()}
    assert given == stripped, "this server takes blanks off both ends of an answer"


def test_a_model_that_it_does_not_serve_stops_the_run_after_a_row_of_refusals(url: str, folder: Path) -> None:
    """This server says 400 to a wrong name, as it would to a bad picture."""
    wrong = HttpAnnotator(endpoints=[url], model="another", concurrency=1, refusals_in_a_row=4)
    told: dict[int, Answer | Refused] = {}
    with pytest.raises(CriticRefuses) as error:
        wrong.answer(calls(), told.__setitem__)
    assert told == {}
    assert str(error.value) == (
        f"4 refusals in a row and no answer between them, the last: item 'i3', stage 'describe': {url}/v1/chat"
        f"/completions refuses the request with status 400: Server is pinned to '{folder}'; requested 'another'. "
        "Correct model, the stage or the pictures, or raise refusals_in_a_row, and resume the run."
    )

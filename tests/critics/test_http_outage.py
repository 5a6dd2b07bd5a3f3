"""How long an outage may last, and what is said of it, with a clock that is set by hand."""

from __future__ import annotations

import re
import time

import pytest

from firm_lightning.critics.http_errors import TryAgain
from firm_lightning.critics.http_outage import Outage
from tests.critics.test_http_breaker import Clock
from tests.critics.test_http_fleet import fail, made

FOREVER_S = float("inf")


def begun(limit_s: float) -> tuple[Outage, Clock]:
    """One second after the last answer the only endpoint is left alone for ten."""
    fleet, clock = made("a", breaker_failures=1)
    outage = Outage(fleet=fleet, limit_s=limit_s, who="oracle")
    fail(fleet, fleet.endpoints[0], clock, TryAgain("status 503"))
    return outage, clock


@pytest.mark.parametrize(("limit_s", "deadline_in_s", "can"), [(11, 99, False), (12, 99, True), (99, 10, False)])
def test_it_can_be_waited_for_if_an_endpoint_is_tried_before_limit_and_deadline(
    limit_s: float, deadline_in_s: float, can: bool
) -> None:
    outage, clock = begun(limit_s)
    assert outage.can_be_waited_for(clock() + deadline_in_s) is can


def test_every_answer_begins_the_limit_anew() -> None:
    outage, clock = begun(60)
    clock.now_s += 58.5
    assert outage.can_be_waited_for(FOREVER_S)
    clock.now_s += 1
    assert not outage.can_be_waited_for(FOREVER_S)
    outage.answered()
    assert outage.answered_at_s == clock()
    assert outage.can_be_waited_for(FOREVER_S)


def test_it_is_told_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    outage, clock = begun(3600)
    for _ in range(3):
        outage.can_be_waited_for(FOREVER_S)
        clock.now_s += 20
    for _ in range(2):
        outage.answered()
    began, over = (record.getMessage() for record in caplog.records)
    pattern = r"waiting for the oracle: http://a:8000/v1 \(1 failure in a row, the last: status 503\); until (..):(..)"
    found = re.fullmatch(pattern, began)
    assert found is not None
    until = time.localtime(time.time() + 3599)
    assert (60 * (until.tm_hour - int(found[1])) + until.tm_min - int(found[2])) % (24 * 60) <= 1
    assert over == "the oracle answers again, after 61 s"


def test_without_an_outage_nothing_is_told(caplog: pytest.LogCaptureFixture) -> None:
    outage, _ = begun(60)
    outage.answered()
    assert caplog.records == []

"""When refusals are those of single calls, and when the server's."""

from __future__ import annotations

import pytest

from firm_lightning.critics.http_errors import CriticRefuses
from firm_lightning.curation.refusals import Refusals
from firm_lightning.types import Refused


def test_refusals_are_held_back_until_an_answer_comes() -> None:
    refusals = Refusals(in_a_row=3)
    refusals.add(4, "too large", "item 4: too large")
    refusals.add(2, "too long", "item 2: too long")
    assert refusals.answered() == [(4, Refused("too large")), (2, Refused("too long"))]
    assert refusals.answered() == []


def test_the_end_of_a_round_gives_them_and_counts_on() -> None:
    refusals = Refusals(in_a_row=3)
    for place in range(2):
        refusals.add(place, "no", f"item {place}: no")
    assert [place for place, _ in refusals.released()] == [0, 1]
    message = (
        "3 refusals in a row and no answer between them, the last: item 7: no. Correct model, the stage or the "
        "pictures, or raise refusals_in_a_row, and resume the run."
    )
    with pytest.raises(CriticRefuses) as error:
        refusals.add(7, "no", "item 7: no")
    assert str(error.value) == message
    refusals.begin()
    assert refusals.released() == [], "what was held back is nobody's answer"
    refusals.add(0, "no", "item 0: no")
    assert refusals.answered() == [(0, Refused("no"))], "and the count begins anew"

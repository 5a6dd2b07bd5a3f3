from __future__ import annotations

import json
from pathlib import Path

import pytest

from firm_lightning.curation.audit_set import AuditSet
from firm_lightning.report.audit_agreement import audit_agreement
from tests.curation.audited import make_set, raw
from tests.report.conftest import Write
from tests.report.test_audit_agreement import rating


def test_figures_are_weighted_to_the_set(tmp_path: Path, write: Write) -> None:
    # 95 of 100 labels are right, the others wrong by 4; 5 of each are rated.
    right = [raw(f"r{place}", score=5) for place in range(95)]
    wrong = [raw(f"w{place}", score=1) for place in range(5)]
    source = AuditSet(source=make_set(tmp_path / "set", train=[*right, *wrong, raw("none", score=None)]))
    rated = [rating(f"{kind}{place}", 5, "ann") for kind in "rw" for place in range(5)]
    found = audit_agreement(source, ratings=[write("r.jsonl", rated)], output=tmp_path / "out", resamples=0)
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["tasks"]["alignment"]["overall"]["mae"] == pytest.approx(2.0, abs=1e-12)
    assert report["weighted_to_the_set"] == {
        "alignment": {"mae": pytest.approx(0.2, abs=1e-12), "exact": pytest.approx(0.95, abs=1e-12), "covered": 1.0}
    }
    strata = [(each["score_1to5"], each["in_set"], each["rated"]) for each in report["strata"]]
    assert strata == [(5, 95, 5), (1, 5, 5), (None, 1, 0)]
    assert found.summary.notices() == [
        "The sample takes rare scores as often as frequent ones: all figures but the weighted ones are of the sample.",
        "Alignment, weighted to the set: MAE 0.20, exact 95.0%.",
    ]
    html = (tmp_path / "out/report.html").read_text()
    assert all(f"<li>{notice}</li>" in html for notice in found.summary.notices())


def test_a_stratum_that_nobody_rated_stays_out(tmp_path: Path, write: Write) -> None:
    # Score 5: one of two of x is rated 4, the one of y 5 by ann and 4 by bob. The one of score 1 is not rated.
    records = [raw("a", score=5, dataset="x"), raw("b", score=5, dataset="x"), raw("c", score=5, dataset="y")]
    source = AuditSet(source=make_set(tmp_path / "set", train=[*records, raw("d", score=1, dataset="y")]))
    file = write("r.jsonl", [rating("a", 4, "ann"), rating("c", 5, "ann"), rating("c", 4, "bob")])
    found = audit_agreement(source, ratings=[file], output=tmp_path / "out", resamples=0)
    # (2 * |5 - 4| + 1 * |5 - 4.5|) / 3, of 3 of 4 records.
    weighted = found.summary.weighted()["alignment"]
    assert (weighted.mae, weighted.covered) == (pytest.approx(2.5 / 3, abs=1e-12), 0.75)
    assert found.summary.as_json()["weighted_to_the_set"]["alignment"]["exact"] is None
    assert found.summary.notices()[1] == (
        "Alignment, weighted to the set: MAE 0.83, exact -. That is 75.0% of it; of the other scores and data sets "
        "none was rated."
    )

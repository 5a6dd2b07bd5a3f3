"""The page of a sweep as a browser shows it, on a desktop and on a telephone."""

from __future__ import annotations

from pathlib import Path

from firm_lightning.sweep.page import write_page
from tests.report.pages import assert_pages_fit, needs_chromium
from tests.sweep.test_results import results

pytestmark = needs_chromium


def test_the_page_fits(here: Path) -> None:
    assert_pages_fit([write_page(results())])

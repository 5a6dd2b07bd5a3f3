"""Looks at HTML pages as a browser lays them out: whether they fit the window, whether a picture is broken.

For tests of pages and for ``benchmarks/screenshots.py``. It needs Chromium and no other package: the pages stand in
frames of the wanted width (a window cannot be as narrow as a telephone), and what a script beside them measures is
read from the dumped document.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

WIDTHS_PX = (1280, 390)
"""A desktop's window and a telephone's."""
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
SHOWN = 5
FRAME_PX = 800
TALLEST_PX = 16_000
"""Pictures of pages are cut here."""
MEASURE = """
addEventListener("load", () => {
  const looks = [...document.querySelectorAll("iframe")].map((frame) => {
    const page = frame.contentDocument, root = page.documentElement, wide = root.clientWidth;
    const scrolls = (node) => node && node !== root &&
      (["auto", "scroll", "hidden"].includes(frame.contentWindow.getComputedStyle(node).overflowX) ||
       scrolls(node.parentElement));
    const words = (node) => `${node.tagName.toLowerCase()}: ${node.textContent.trim().slice(0, 60)}`;
    const out = [...page.body.querySelectorAll("*")].filter(
      (node) => node.getBoundingClientRect().right > wide + 1 && !scrolls(node.parentElement));
    return {
      width_px: wide, scroll_width_px: root.scrollWidth, height_px: root.scrollHeight,
      broken: [...page.images].filter((image) => !image.complete || !image.naturalWidth).map((image) => image.alt),
      too_wide: out.slice(0, SHOWN).map(words),
    };
  });
  document.getElementById("looks").textContent = JSON.stringify(looks);
});
"""


@dataclass(frozen=True, slots=True)
class PageLook:
    """One page at one width: what of it is too wide or broken."""

    page: Path
    width_px: int
    scroll_width_px: int
    height_px: int
    broken: tuple[str, ...]
    too_wide: tuple[str, ...]

    @property
    def faults(self) -> list[str]:
        """What a person would see, one sentence each."""
        found = [f"broken picture: {alt or '(no text)'}" for alt in self.broken]
        if self.scroll_width_px > self.width_px:
            found.append(f"{self.scroll_width_px} px wide: {'; '.join(self.too_wide)}")
        return [f"{self.page.name} at {self.width_px} px: {fault}" for fault in found]


def chromium() -> str | None:
    """The browser's program, None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


needs_chromium = pytest.mark.skipif(chromium() is None, reason="no Chromium here")
"""For tests that look at pages."""


def look_at(pages: Sequence[Path], widths_px: Sequence[int] = WIDTHS_PX) -> list[PageLook]:
    """Lay out every page at every width, in one start of the browser."""
    frames = [(page, width) for page in pages for width in widths_px]
    body = "".join(_frame(page, width, FRAME_PX) for page, width in frames)
    script = f'<pre id="looks"></pre><script>const SHOWN = {SHOWN};{MEASURE}</script>'
    with tempfile.TemporaryDirectory() as folder:
        document = _run(Path(folder), _document(pages[0], body + script), "--dump-dom")
    found = re.search(r'<pre id="looks">(.+?)</pre>', document, re.DOTALL)
    assert found, f"the browser measured nothing: {document[:500]}"
    looks = json.loads(html.unescape(found[1]))
    return [
        PageLook(
            page=page,
            width_px=look["width_px"],
            scroll_width_px=look["scroll_width_px"],
            height_px=look["height_px"],
            broken=tuple(look["broken"]),
            too_wide=tuple(look["too_wide"]),
        )
        for (page, _), look in zip(frames, looks, strict=True)
    ]


def assert_pages_fit(pages: Sequence[Path], widths_px: Sequence[int] = WIDTHS_PX) -> None:
    """Fail for a page that scrolls sideways or has a broken picture, at any width."""
    faults = [fault for look in look_at(pages, widths_px) for fault in look.faults]
    assert not faults, "\n".join(faults)


def take_picture(look: PageLook, file: Path) -> None:
    """Write a PNG of a whole page as it was looked at."""
    height = min(look.height_px, TALLEST_PX)
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole.png"
        window = f"--window-size={max(look.width_px, 500)},{height}"
        page = _document(look.page, _frame(look.page, look.width_px, height))
        _run(Path(folder), page, f"--screenshot={whole}", window)
        with Image.open(whole) as picture:
            picture.crop((0, 0, look.width_px, height)).save(file)


def _frame(page: Path, width_px: int, height_px: int) -> str:
    text = html.escape(page.read_text(encoding="utf-8"), quote=True)
    return f'<iframe srcdoc="{text}" style="width:{width_px}px;height:{height_px}px;border:0;display:block"></iframe>'


def _document(page: Path, body: str) -> str:
    base = f'<base href="{page.resolve().parent.as_uri()}/">'
    return f'<!doctype html><meta charset="utf-8">{base}<body style="margin:0">{body}'


def _run(folder: Path, document: str, *flags: str) -> str:
    program = chromium()
    assert program is not None
    file = folder / "frames.html"
    file.write_text(document, encoding="utf-8")
    profile = f"--user-data-dir={folder / 'user'}"
    quiet = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars", profile]
    command = [program, *quiet, *flags, file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=180)
    return done.stdout

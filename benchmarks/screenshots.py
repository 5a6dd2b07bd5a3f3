"""Pictures of HTML pages as a desktop and a telephone show them, and what does not fit.

    python -m benchmarks.screenshots --output screens/ checkpoints/critic_gen/card/index.html ...

Needs Chromium. Ends with exit code 1 if a page scrolls sideways or has a broken picture.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from tests.report.pages import WIDTHS_PX, look_at, take_picture


def main() -> int:
    """Look at the pages of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="+", type=Path, help="HTML files")
    parser.add_argument("--output", type=Path, required=True, help="folder of the PNG files")
    parser.add_argument("--widths_px", nargs="+", type=int, default=list(WIDTHS_PX))
    wanted = parser.parse_args()
    console, faults = Console(), 0
    for look in look_at(wanted.pages, wanted.widths_px):
        picture = wanted.output / f"{look.page.parent.name}_{look.page.stem}_{look.width_px}.png"
        take_picture(look, picture)
        console.print(f"{picture}: {look.width_px} x {look.height_px} px", markup=False, soft_wrap=True)
        for fault in look.faults:
            faults += 1
            console.print(f"  {fault}", markup=False, style="red", soft_wrap=True)
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())

"""How a command line that is refused ends."""

from __future__ import annotations

import pytest

from firm_lightning import cli


def error_of(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What ``main`` writes to stderr; it has to stop with exit code 2."""
    with pytest.raises(SystemExit) as stopped:
        cli.main(argv)
    assert stopped.value.code == 2
    return capsys.readouterr().err

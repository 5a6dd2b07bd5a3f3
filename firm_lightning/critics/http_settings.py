"""The settings that a critic and an annotator behind HTTP share are checked where they are given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

AT_LEAST = {"concurrency": 1, "retries": 0, "breaker_failures": 1, "max_new_tokens": 1}
SECONDS = ("request_timeout_s", "round_timeout_s", "backoff_s", "breaker_pause_s", "outage_s")


def check_settings(settings: Mapping[str, Any], who: str) -> None:
    """Look at the values by their names; ``who`` is what an error calls the model behind the servers.

    Raises:
        ValueError: A value is out of its range.
    """
    for name, limit in AT_LEAST.items():
        if settings[name] < limit:
            raise ValueError(f"{name} {settings[name]} must be at least {limit}")
    for name in SECONDS:
        if not 0 < settings[name] < float("inf"):
            raise ValueError(f"{name} {settings[name]} must be a number of seconds above 0")
    if settings["max_side_px"] is not None and settings["max_side_px"] < 1:
        raise ValueError(f"max_side_px {settings['max_side_px']} must be at least 1, or null")
    if settings["image_format"] not in ("png", "jpeg"):
        raise ValueError(f"image_format {settings['image_format']!r} is not one of png, jpeg")
    if settings["api_key_file"] is not None and settings["api_key_variable"] is not None:
        raise ValueError("api_key_file and api_key_variable are both set; keep one of them")
    if not settings["model"].strip():
        raise ValueError(f"model is empty; give the name under which the servers know the {who}")

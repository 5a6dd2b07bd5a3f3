"""What a critic ran on and with: the machine's name, versions of packages, tokens of its answers."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from firm_lightning import __version__

PACKAGES = ("torch", "transformers")
CPU_INFO = Path("/proc/cpuinfo")
ELSEWHERE = "another machine, which was not named"


def hardware_of(critic: object) -> str:
    """The device of a critic in this process; a critic behind HTTP runs on a machine that nobody here can name."""
    if isinstance(getattr(critic, "endpoints", None), list):
        return ELSEWHERE
    import torch

    device = str(getattr(critic, "device", "cpu"))
    if device.startswith("cuda"):
        return str(torch.cuda.get_device_name(device))
    threads = torch.get_num_threads()
    return f"{cpu_name()}, {threads} {'thread' if threads == 1 else 'threads'}"


def cpu_name() -> str:
    """The processor's name as the system gives it."""
    if CPU_INFO.is_file():
        for line in CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name" and value.strip():
                return value.strip()
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Of this package, Python and what answers depend on."""
    found = {"firm_lightning": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def answer_tokens(critic: object, texts: Iterable[str]) -> int | None:
    """Tokens of answers by the critic's own tokenizer, each with its end; None where it has none on this machine."""
    path = getattr(getattr(critic, "start", None), "path", None)
    file = None if path is None else Path(path) / "tokenizer.json"
    if file is None or not file.is_file():
        return None
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file))
    return sum(len(tokenizer.encode(text, add_special_tokens=False).ids) + 1 for text in texts)

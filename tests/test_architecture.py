"""The house rules that a machine can check."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "firm_lightning"
MODULES = sorted(PACKAGE.rglob("*.py"))
MOST_LINES = 300
VAGUE_NAMES = {"utils", "util", "common", "helpers", "helper", "misc", "core", "base", "tools"}
READ_THE_ENVIRONMENT = {"firm_lightning.critics.http_key", "firm_lightning.sweep.guard"}
"""They alone do: for the variable that a config names, so that no key stands in a config; for the GPUs that a cluster
lets us see, which are shared out among processes."""
CODE_RUNNING_FORMATS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def dotted(path: Path) -> str:
    """``firm_lightning.data.records`` for its file; a package for its ``__init__.py``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.AST) -> set[str]:
    """Every module that a source imports by its full name; ``from a import b`` counts as ``a`` and ``a.b``."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def faults(source: str) -> list[str]:
    """What a module of the package must not do, as ``line: what``."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for name in sorted({name.partition(".")[0] for name in imported(node)}):
                if name in CODE_RUNNING_FORMATS:
                    found.append(f"{node.lineno}: imports {name}, which can run code while it reads")
                if name == "pytorch_lightning":
                    found.append(f"{node.lineno}: imports pytorch_lightning; its one name here is lightning.pytorch")
        if isinstance(node, ast.ImportFrom) and node.module == "os":
            found += [f"{node.lineno}: reads the environment" for a in node.names if a.name in ("environ", "getenv")]
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.getenv"):
            found.append(f"{node.lineno}: reads the environment")
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            safe = any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords)
            if called == "print":
                found.append(f"{node.lineno}: prints")
            if called == "torch.load" and not safe:
                found.append(f"{node.lineno}: torch.load without weights_only=True")
            if called == "sys.path.append" or called == "sys.path.insert":
                found.append(f"{node.lineno}: changes sys.path")
    return found


def test_the_checker_finds_every_fault() -> None:
    source = (
        "import pickle\nimport os\nprint(os.environ)\ntorch.load(p)\ntorch.load(p, weights_only=False)\n"
        "torch.load(p, weights_only=True)\nfrom os import getenv\nimport sys\nsys.path.insert(0, p)\n"
        "import pytorch_lightning as pl\nos.getenv('x')\n"
    )
    assert sorted(faults(source), key=lambda fault: int(fault.partition(":")[0])) == [
        "1: imports pickle, which can run code while it reads",
        "3: prints",
        "3: reads the environment",
        "4: torch.load without weights_only=True",
        "5: torch.load without weights_only=True",
        "7: reads the environment",
        "9: changes sys.path",
        "10: imports pytorch_lightning; its one name here is lightning.pytorch",
        "11: reads the environment",
    ]


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_module_keeps_the_rules(path: Path) -> None:
    found = faults(path.read_text(encoding="utf-8"))
    if dotted(path) in READ_THE_ENVIRONMENT:
        found = [fault for fault in found if not fault.endswith(": reads the environment")]
    assert found == []


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_module_is_small_and_well_named(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES, f"{lines} lines: split it"
    assert VAGUE_NAMES.isdisjoint(dotted(path).split(".")[1:])


def test_every_module_has_a_test() -> None:
    tests = sorted((ROOT / "tests").rglob("test_*.py"))
    covered: set[str] = set()
    for test in tests:
        covered |= imported(ast.parse(test.read_text(encoding="utf-8")))
    named = {test.stem.removeprefix("test_") for test in tests}
    untested = [
        dotted(path)
        for path in MODULES
        if path.stem != "__init__" and dotted(path) not in covered and path.stem not in named
    ]
    assert untested == []


def test_layers_and_pure_folders(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    status = lint_imports(config_filename="setup.cfg", no_cache=True)
    assert status == 0, capsys.readouterr().out

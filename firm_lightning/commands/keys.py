"""Finds the keys of a config or command line that nothing reads, and for each the nearest key that exists.

jsonargparse already refuses unknown keys. Its message names neither the file nor the key that was meant, so once it
has refused, this module walks the same files and flags beside the parser and looks for the culprit.
"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from importlib import import_module
from typing import Any, get_args, get_origin

import yaml
from jsonargparse import ArgumentParser

from firm_lightning.commands.config_files import ConfigFile, flag_values

CLASS_KEYS = ("class_path", "init_args", "dict_kwargs")
SAME_PARENT_BONUS = 0.15

# A tree of known keys: a mapping is a group of keys, a _Value is a key that takes a value.
_Tree = Mapping[str, Any]


@dataclass(frozen=True)
class _Value:
    """A key that takes a value. ``implied_class`` is what the value builds where it names no ``class_path``."""

    implied_class: type | None


@dataclass
class KeyFinder:
    """Walks config files and flags beside a parser.

    ``classes`` remembers which class each key was given, because a later file or flag may set ``init_args`` alone.
    """

    parser: ArgumentParser
    classes: dict[str, Any] = field(default_factory=dict)
    found: list[tuple[str, str, str]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def faults(self, files: Sequence[ConfigFile], argv: Sequence[str]) -> list[str]:
        """One line for every class that cannot be imported and every unknown key of the files and the command line."""
        tree = _tree(self.parser)
        for file in files:
            self._walk(file, file.root, tree, "")
        for flag, value in flag_values(argv):
            if flag.startswith("--") and flag not in ("--config", "--help", "--print_config"):
                self._descend(flag[2:].removesuffix("+"), value, tree)
        known = list(_flat(tree, ""))
        for path, target in self.classes.items():
            known += _flat(_class_tree(target), f"{path}.init_args.")
        return self.broken + [_unknown(where, shown, _nearest(key, known)) for where, key, shown in self.found]

    def _walk(self, file: ConfigFile, node: yaml.MappingNode, tree: _Tree, prefix: str) -> None:
        for key, value in node.value:
            name = str(key.value).removesuffix("+")
            if name not in tree:
                self.found.append((f"{file.path}:{file.line(key)}", prefix + name, prefix + name))
            elif isinstance(tree[name], _Value):
                self._walk_value(file, value, tree[name], prefix + name)
            elif isinstance(value, yaml.MappingNode):
                self._walk(file, value, tree[name], f"{prefix}{name}.")

    def _walk_value(self, file: ConfigFile, node: yaml.Node, known: _Value, path: str) -> None:
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._walk_value(file, item, known, f"{path}[{index}]")
        if not isinstance(node, yaml.MappingNode):
            return
        entries = {str(key.value): value for key, value in node.value}
        if "class_path" in entries:
            why_not = self._remember(path, str(entries["class_path"].value))
            if why_not:
                self.broken.append(f"{file.path}:{file.line(entries['class_path'])}: {why_not}")
        elif "init_args" not in entries:
            if known.implied_class is not None:
                self._walk(file, node, _class_tree(known.implied_class), f"{path}.")
            return
        for key, _ in node.value:
            if key.value not in CLASS_KEYS:
                shown = f"{path}.{key.value}"
                self.found.append((f"{file.path}:{file.line(key)}", f"{path}.init_args.{key.value}", shown))
        init_args = entries.get("init_args")
        target = self.classes.get(path)
        if target is not None and isinstance(init_args, yaml.MappingNode):
            self._walk(file, init_args, _class_tree(target), f"{path}.init_args.")

    def _descend(self, flag: str, value: str | None, tree: _Tree) -> None:
        """Follow a dotted flag; ``--model.x`` is short for ``--model.init_args.x``, ``--model NAME`` names a class."""
        node: Any = tree
        path = ""
        for part in flag.split("."):
            if isinstance(node, _Value):
                if part in ("class_path", "dict_kwargs", "help"):
                    break
                target = self.classes.get(path, node.implied_class)
                if part == "init_args":
                    continue
                if target is None:
                    return
                node, path = _class_tree(target), f"{path}.init_args"
            if part not in node:
                self.found.append(("command line", f"{path}.{part}".removeprefix("."), f"--{flag}"))
                return
            node, path = node[part], f"{path}.{part}".removeprefix(".")
        if isinstance(node, _Value) and value is not None:
            self._remember(path, value)

    def _remember(self, path: str, class_path: str) -> str:
        """Note which class a key was given; what is wrong with the name is handed back, "" where nothing is."""
        self.classes.pop(path, None)
        module_name, _, name = class_path.rpartition(".")
        if not module_name:
            return ""  # a class by its bare name: jsonargparse looks it up, we cannot tell
        try:
            module = import_module(module_name)
        except (ImportError, ValueError, TypeError) as error:  # TypeError: a name that begins with a dot
            return f"class_path '{class_path}' cannot be imported: {error}"
        if not hasattr(module, name):
            public = [known for known in vars(module) if not known.startswith("_")]
            return f"class_path '{class_path}' does not exist; nearest: '{module_name}.{_nearest(name, public)}'"
        self.classes[path] = getattr(module, name)
        return ""


def _tree(parser: ArgumentParser) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for action in parser._actions:
        if action.dest in ("help", "config", "print_config", argparse.SUPPRESS) or action.dest.endswith(".help"):
            continue
        *groups, name = action.dest.split(".")
        node = tree
        for group in groups:
            if not isinstance(node.get(group), dict):
                node[group] = {}
            node = node[group]
        node.setdefault(name, _Value(_implied_class(getattr(action, "_typehint", None))))
    return tree


def _implied_class(typehint: Any) -> type | None:
    """The class that a key's type names, also inside ``X | None`` or a list; None for plain values and mappings."""
    if inspect.isclass(get_origin(typehint)) and issubclass(get_origin(typehint), Mapping):
        return None
    for candidate in get_args(typehint) or (typehint,):
        if inspect.isclass(candidate) and candidate.__module__ not in (
            "builtins",
            "typing",
            "pathlib",
            "collections.abc",
        ):
            return candidate
    return None


def _class_tree(target: Any) -> dict[str, Any]:
    parser = ArgumentParser(exit_on_error=False)
    add = parser.add_class_arguments if inspect.isclass(target) else parser.add_function_arguments
    add(target, fail_untyped=False, sub_configs=True)
    return _tree(parser)


def _flat(tree: _Tree, prefix: str) -> Iterator[str]:
    for name, node in tree.items():
        if isinstance(node, _Value):
            yield prefix + name
        else:
            yield from _flat(node, f"{prefix}{name}.")


def _unknown(where: str, key: str, nearest: str) -> str:
    return f"{where}: key '{key}' is not known" + (f"; nearest: '{nearest}'" if nearest else "")


def _nearest(key: str, known: Sequence[str]) -> str:
    """The known key whose own name is most alike; one under the same parent is preferred."""
    parent, _, name = key.rpartition(".")

    def likeness(candidate: str) -> float:
        candidate_parent, _, candidate_name = candidate.rpartition(".")
        alike = SequenceMatcher(None, name, candidate_name).ratio()
        return alike + (SAME_PARENT_BONUS if candidate_parent == parent else 0.0)

    return max(known, key=likeness, default="")

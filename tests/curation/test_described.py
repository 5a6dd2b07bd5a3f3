from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from firm_lightning.curation.described import described, made_alike


@dataclass(frozen=True)
class World:
    colours: tuple[str, ...]


class Model:
    """Keeps all that it was made with; ``device`` says where it runs."""

    def __init__(self, *, path: Path, world: World, limits: dict[str, int], device: str = "cpu") -> None:
        self.path, self.world, self.device = path, world, device
        self._limits = limits


class Closed:
    def __init__(self, *, secret: int) -> None:
        self.other = secret


def model(**changed: object) -> Model:
    settings = {"path": Path("a"), "world": World(("red",)), "limits": {"tokens": 3}, **changed}
    return Model(**settings)  # type: ignore[arg-type]


def test_an_object_is_its_class_and_its_arguments() -> None:
    here = __name__
    assert described(model(device="cuda")) == {
        "class": f"{here}.Model",
        "path": "a",
        "world": {"class": f"{here}.World", "colours": ["red"]},
        "limits": {"tokens": 3},
    }
    assert described({"f": len, "s": {"b", "a"}, "n": None}) == {"f": "len", "s": ["a", "b"], "n": None}


@pytest.mark.parametrize(
    ("changed", "alike"),
    [
        ({}, True),
        ({"world": World(("red",))}, True),
        ({"world": World(("blue",))}, False),
        ({"limits": {"tokens": 4}}, False),
        ({"device": "cuda"}, False),
    ],
)
def test_alike_is_what_was_made_with_the_same(changed: dict[str, object], alike: bool) -> None:
    assert made_alike(model(), model(**changed)) is alike


def test_what_hides_an_argument_is_like_itself_alone() -> None:
    closed = Closed(secret=1)
    assert made_alike(closed, closed) and not made_alike(closed, Closed(secret=1))
    assert not made_alike(lambda: 1, lambda: 1)

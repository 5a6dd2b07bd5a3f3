"""What is searched: config keys, the values that each may take, and on what other key it depends."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from firm_lightning.sweep.values import Value, held

MYPY = False  # true to mypy; under TYPE_CHECKING, jsonargparse would import Optuna to check a config
if MYPY:
    from optuna.distributions import BaseDistribution

KINDS = ("uniform", "log_uniform", "integer", "log_integer", "choice")


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """The values of one key; exactly one of the first five is given.

    Args:
        uniform: Lowest and highest real number; all between are equally likely at first.
        log_uniform: The same on a logarithmic scale; both above 0.
        integer: Lowest and highest whole number.
        log_integer: The same on a logarithmic scale; the lowest at least 1.
        choice: Values to choose from: numbers, texts, true, false, null, or whole mappings and lists.
        when: Other keys of the space -> the value or list of values that they must have for this key to be set.
        points: How many values of a range a grid tries, its ends among them; a choice is always tried whole.
    """

    uniform: tuple[float, float] | None = None
    log_uniform: tuple[float, float] | None = None
    integer: tuple[int, int] | None = None
    log_integer: tuple[int, int] | None = None
    choice: list[Any] | None = None
    when: dict[str, Any] | None = None
    points: int | None = None

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            ValueError: None or several kinds, or values that are no range or no choice.
        """
        given = [name for name in KINDS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give one of {', '.join(KINDS)}, not {' and '.join(given) or 'none'}")
        if self.choice is not None:
            if len(self.choice) < 2 or len(set(self.values)) != len(self.choice):
                raise ValueError(f"choice {self.choice} must hold at least two values, all different")
            if self.points is not None:
                raise ValueError("points are for ranges; a grid tries every choice")
            return
        low, high = self.range
        if not (math.isfinite(low) and math.isfinite(high)) or low >= high or (self.is_log and low <= 0):
            above = " above 0" if self.is_log else ""
            raise ValueError(f"{given[0]} [{low}, {high}]: give the lowest value{above}, then a higher one")
        if self.points is not None and self.points < 2:
            raise ValueError(f"points {self.points}: a grid needs at least 2, the ends of the range")

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest value of a range."""
        found = self.uniform or self.log_uniform or self.integer or self.log_integer
        assert found is not None
        return found

    @property
    def is_log(self) -> bool:
        """Whether a range is on a logarithmic scale."""
        return self.log_uniform is not None or self.log_integer is not None

    @property
    def is_whole(self) -> bool:
        """Whether a range holds whole numbers."""
        return self.integer is not None or self.log_integer is not None

    @property
    def values(self) -> list[Value]:
        """The choices, as a study holds them."""
        assert self.choice is not None
        return [held(value) for value in self.choice]

    def distribution(self) -> BaseDistribution:
        """The same for Optuna."""
        from optuna import distributions

        if self.choice is not None:
            return distributions.CategoricalDistribution(self.values)
        low, high = self.range
        if self.is_whole:
            return distributions.IntDistribution(int(low), int(high), log=self.is_log)
        return distributions.FloatDistribution(low, high, log=self.is_log)

    def from_unit(self, place: float) -> int | float:
        """The value of a range at a place of [0, 1]; ``place`` outside is taken to the nearer end."""
        place = min(1.0, max(0.0, place))
        low, high = self._ends()
        value = low + place * (high - low)
        value = math.exp(value) if self.is_log else value
        first, last = self.range
        return int(min(last, max(first, round(value)))) if self.is_whole else min(last, max(first, value))

    def to_unit(self, value: float) -> float:
        """Where in [0, 1] a value of a range lies."""
        low, high = self._ends()
        return ((math.log(value) if self.is_log else value) - low) / (high - low)

    def _ends(self) -> tuple[float, float]:
        """Whole numbers own half a step to each side, so that all are equally likely."""
        low, high = self.range
        if self.is_whole:
            low, high = low - 0.5, high + 0.5
        return (math.log(low), math.log(high)) if self.is_log else (low, high)

    def grid(self) -> list[Value]:
        """The values that a grid tries, in order."""
        if self.choice is not None:
            return self.values
        low, high = self.range
        if self.points is None:
            if self.is_whole and not self.is_log:
                return list(range(int(low), int(high) + 1))
            raise ValueError("a grid needs points, the number of values to try of this range")
        ends = (math.log(low), math.log(high)) if self.is_log else (low, high)
        inner = [ends[0] + (ends[1] - ends[0]) * n / (self.points - 1) for n in range(1, self.points - 1)]
        values = [low, *(math.exp(v) if self.is_log else v for v in inner), high]
        return list(dict.fromkeys(round(v) for v in values)) if self.is_whole else list(values)

    def written(self) -> dict[str, Any]:
        """What was given, as plain values."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in found.items() if v is not None}


class Space:
    """All parameters, each after those it depends on.

    Args:
        parameters: Config key, as after ``--`` on the command line -> its values.

    Raises:
        ValueError: Nothing to search, or a ``when`` that names no key of the space or no value of it.
    """

    def __init__(self, parameters: Mapping[str, Parameter]) -> None:
        if not parameters:
            raise ValueError("space is empty: name at least one config key and its values")
        self.parameters: dict[str, Parameter] = {}
        left = dict(parameters)
        for key, parameter in parameters.items():
            try:
                parameter.check()
            except ValueError as error:
                raise ValueError(f"space: {key}: {error}") from None
        for key, parameter in parameters.items():
            _check_when(key, parameter, parameters)
        while left:
            ready = [key for key in left if all(other in self.parameters for other in left[key].when or {})]
            if not ready:
                raise ValueError(f"space: the conditions of {', '.join(left)} depend on each other in a circle")
            self.parameters |= {key: left.pop(key) for key in ready}

    def is_active(self, key: str, chosen: Mapping[str, Any]) -> bool:
        """Whether a key is set, given the values chosen for the keys before it."""
        when = self.parameters[key].when or {}
        return all(other in chosen and _among(chosen[other], _wanted(value)) for other, value in when.items())

    def choose(self, value_of: Any) -> dict[str, Value]:
        """Choose values in order; ``value_of(key, parameter)`` is asked for each key that is set."""
        chosen: dict[str, Value] = {}
        for key, parameter in self.parameters.items():
            if self.is_active(key, chosen):
                chosen[key] = value_of(key, parameter)
        return chosen

    def grid(self) -> list[dict[str, Value]]:
        """Every combination of the values that a grid tries; the last key changes fastest.

        Raises:
            ValueError: A range has no ``points``.
        """
        found: list[dict[str, Value]] = [{}]
        for key, parameter in self.parameters.items():
            try:
                values = parameter.grid()
            except ValueError as error:
                raise ValueError(f"space: {key}: {error}") from None
            found = [
                grown
                for chosen in found
                for grown in ([{**chosen, key: v} for v in values] if self.is_active(key, chosen) else [chosen])
            ]
        return found

    def examples(self) -> Iterator[dict[str, Value]]:
        """A few combinations that together set every key, to try whether the keys exist."""
        seen: set[str] = set()
        for chosen in self._walk({}, list(self.parameters)):
            if not chosen.keys() <= seen:
                seen |= chosen.keys()
                yield chosen
            if len(seen) == len(self.parameters):
                return

    def _walk(self, chosen: dict[str, Value], left: Sequence[str]) -> Iterator[dict[str, Value]]:
        """Every combination of choices; only one value of a range."""
        if not left:
            yield chosen
            return
        key, parameter = left[0], self.parameters[left[0]]
        if not self.is_active(key, chosen):
            yield from self._walk(chosen, left[1:])
            return
        depends = {other for p in self.parameters.values() for other in p.when or {}}
        values = parameter.values if parameter.choice is not None else [parameter.range[0]]
        if parameter.choice is None and key in depends:
            values = [*parameter.range]
        for value in values if key in depends else values[:1]:
            yield from self._walk({**chosen, key: value}, left[1:])

    def written(self) -> dict[str, Any]:
        """What was given, as plain values."""
        return {key: parameter.written() for key, parameter in self.parameters.items()}


def _wanted(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _among(value: Any, wanted: Sequence[Any]) -> bool:
    """By type too: 1 is not true."""
    return any(value == each and isinstance(value, bool) == isinstance(each, bool) for each in map(held, wanted))


def _check_when(key: str, parameter: Parameter, parameters: Mapping[str, Parameter]) -> None:
    for other, value in (parameter.when or {}).items():
        if other not in parameters:
            raise ValueError(f"space: {key}: when names '{other}', which is no key of the space")
        known = parameters[other].choice
        for wanted in _wanted(value) if known is not None else ():
            if not _among(held(wanted), parameters[other].values):
                raise ValueError(f"space: {key}: when {other} is {wanted!r}: that is none of its choices {known}")

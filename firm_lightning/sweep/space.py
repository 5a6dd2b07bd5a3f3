"""What is searched: config keys, the values that each may take, and on what other key it depends."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from firm_lightning.sweep.values import AsWritten, Value, held

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
    choice: list[AsWritten] | None = None
    when: dict[str, AsWritten] | None = None
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

    def takes(self, value: Any) -> bool:
        """Whether a value is one of its own."""
        if self.choice is not None:
            return _among(held(value), self.values)
        low, high = self.range
        is_number = isinstance(value, int if self.is_whole else int | float) and not isinstance(value, bool)
        return is_number and low <= value <= high

    def distribution(self) -> BaseDistribution:
        """The same for Optuna."""
        from optuna import distributions

        if self.choice is not None:
            return distributions.CategoricalDistribution(self.values)
        low, high = self.range
        if self.is_whole:
            return distributions.IntDistribution(int(low), int(high), log=self.is_log)
        return distributions.FloatDistribution(low, high, log=self.is_log)

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
        ValueError: Nothing to search, or a ``when`` that names no key of the space or no value of it, or cannot hold.
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
        for key in self.parameters:
            self._needed(key)

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
        """A few combinations in which every key and every choice occurs, to try whether ``fit`` takes them."""
        left = {(key, value): None for key in self.parameters for value in self._tried(key)}
        while left:
            key, value = next(iter(left))
            chosen = self._example({**self._needed(key), key: [value]}, left)
            left = {pair: None for pair in left if pair not in chosen.items()}
            yield chosen

    def _example(self, needed: Mapping[str, list[Value]], left: Collection[tuple[str, Value]]) -> dict[str, Value]:
        """One in which keys have values that are needed; among these, and for other keys, one that is left to try."""

        def first(key: str, parameter: Parameter) -> Value:
            values = needed.get(key) or self._tried(key)
            return next((value for value in values if (key, value) in left), values[0])

        return self.choose(first)

    def _tried(self, key: str) -> list[Value]:
        """Values that examples try: all of a choice; of a range the lowest and what conditions name."""
        parameter = self.parameters[key]
        named = [held(v) for other in self.parameters.values() for v in _wanted((other.when or {}).get(key, []))]
        always = parameter.values if parameter.choice is not None else parameter.range[:1]
        return list(dict.fromkeys([*always, *named]))

    def _needed(self, key: str) -> dict[str, list[Value]]:
        """The keys that must be set for this one to be, each with those of its values that allow it.

        Raises:
            ValueError: No values allow it.
        """
        found = {key: self._tried(key)}
        for each, parameter in reversed(self.parameters.items()):
            for other, wanted in (parameter.when or {}).items() if each in found else ():
                values = found.get(other, self._tried(other))
                found[other] = [value for value in values if _among(value, _wanted(wanted))]
                if not found[other]:
                    raise ValueError(f"space: {key} is never set: its conditions ask for different values of {other}")
        return found

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
        for wanted in _wanted(value):
            if not parameters[other].takes(wanted):
                known = ", ".join(f"{kind} {values}" for kind, values in parameters[other].written().items())
                raise ValueError(f"space: {key}: when {other} is {wanted!r}: that is none of its values ({known})")

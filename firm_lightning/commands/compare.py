"""``compare``: the same commands with other settings and several seeds, and one table of what came out."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from firm_lightning.commands.demo import number_at
from firm_lightning.commands.lanes import run_lanes

ARM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Spread:
    """What one number came to over the seeds of an arm; ``std`` is the sample's, and unknown for a single seed."""

    values: tuple[float | None, ...]

    @property
    def mean(self) -> float | None:
        """Mean of the known values."""
        known = [value for value in self.values if value is not None]
        return statistics.fmean(known) if known else None

    @property
    def std(self) -> float | None:
        """Standard deviation of the known values (n - 1)."""
        known = [value for value in self.values if value is not None]
        return statistics.stdev(known) if len(known) > 1 else None

    def __str__(self) -> str:
        if self.mean is None:
            return "-"
        return f"{self.mean:.3f}" if self.std is None else f"{self.mean:.3f} ± {self.std:.3f}"


def compare(
    *,
    arms: dict[str, list[str]],
    seeds: list[int],
    result: str,
    numbers: dict[str, str],
    output: Path,
    side_by_side: int = 1,
) -> None:
    """Run every arm with every seed and gather mean and spread of its numbers.

    In commands and in the path of the result, {run} is filled in with a name of its own for each arm and seed (a folder
    below checkpoints) and {seed} with the seed. A run whose result is there is not run again, so that an interrupted
    comparison goes on. Writes compare.json and compare.md.

    Args:
        arms: Name -> its command lines, one after the other, as they would stand after "python train.py".
        seeds: Seeds of every arm.
        result: JSON file with the numbers that the last command of an arm writes, with {run} in it.
        numbers: Name in the table -> the way to it in the result, with dots (means.truth/alignment_01.mean).
        output: Folder of the table and the logs, below checkpoints; its name begins the names of the runs.
        side_by_side: Runs at a time, each a process of its own.
    """
    check_arms(arms, seeds, result)
    console = Console()
    runs = {(arm, seed): f"{output.name}_{arm}_{seed}" for arm in arms for seed in seeds}
    left = [key for key, run in runs.items() if not Path(filled(result, run, key[1])).exists()]
    lanes = [[filled(command, runs[arm, seed], seed) for command in arms[arm]] for arm, seed in left]
    run_lanes(lanes, output / "logs", title="compare", console=console, side_by_side=side_by_side)
    spreads = gather(arms, seeds, {key: filled(result, run, key[1]) for key, run in runs.items()}, numbers)
    values = {arm: {name: list(spread.values) for name, spread in row.items()} for arm, row in spreads.items()}
    output.mkdir(parents=True, exist_ok=True)
    (output / "compare.json").write_text(
        json.dumps({"seeds": seeds, "arms": values}, indent=1) + "\n", encoding="utf-8"
    )
    (output / "compare.md").write_text(markdown_table(spreads), encoding="utf-8")
    console.print(terminal_table(spreads, seeds))
    console.print(str(output / "compare.md"), markup=False, soft_wrap=True)


def check_arms(arms: Mapping[str, Sequence[str]], seeds: Sequence[int], result: str) -> None:
    """Refuse what would compare nothing, or runs that write into each other's folders.

    Raises:
        ValueError: A name that is no folder name, no arms, no or repeated seeds, a command or result without {run}.
    """
    if not arms or not seeds or len(set(seeds)) != len(seeds):
        raise ValueError(f"compare needs at least one arm and different seeds; it got {list(arms)} and {list(seeds)}")
    if "{run}" not in result:
        raise ValueError(f"result '{result}' has no {{run}} in it: all runs would share one file")
    for arm, commands in arms.items():
        if not ARM_NAME.fullmatch(arm):
            raise ValueError(f"arm '{arm}': a name of letters, digits, '_', '-' and '.' is needed, it names a folder")
        if not commands:
            raise ValueError(f"arm '{arm}' has no commands")
        for command in commands:
            if "{run}" not in command:
                raise ValueError(f"arm '{arm}': '{command}' has no {{run}} in it: runs would overwrite each other")


def filled(text: str, run: str, seed: int) -> str:
    """``{run}`` and ``{seed}`` replaced; other braces stay, they are JSON."""
    return text.replace("{run}", run).replace("{seed}", str(seed))


def gather(
    arms: Mapping[str, Sequence[str]],
    seeds: Sequence[int],
    results: Mapping[tuple[str, int], str],
    numbers: Mapping[str, str],
) -> dict[str, dict[str, Spread]]:
    """Arm -> name -> its values over the seeds; KeyError where a result has no such number."""
    return {
        arm: {
            name: Spread(tuple(number_at(results[arm, seed], way) for seed in seeds)) for name, way in numbers.items()
        }
        for arm in arms
    }


def markdown_table(spreads: Mapping[str, Mapping[str, Spread]]) -> str:
    """One row for each arm, as it goes into a document."""
    names = list(next(iter(spreads.values())))
    lines = [f"| arm | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    lines += [f"| {arm} | {' | '.join(str(row[name]) for name in names)} |" for arm, row in spreads.items()]
    return "\n".join(lines) + "\n"


def terminal_table(spreads: Mapping[str, Mapping[str, Spread]], seeds: Sequence[int]) -> Table:
    """The same for a terminal."""
    names = list(next(iter(spreads.values())))
    caption = f"mean ± standard deviation over {len(seeds)} seeds"
    table = Table(caption=caption, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("arm", no_wrap=True)
    for name in names:
        table.add_column(name, justify="right")
    for arm, row in spreads.items():
        table.add_row(arm, *(str(row[name]) for name in names))
    return table

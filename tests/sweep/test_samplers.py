from __future__ import annotations

import math
from typing import Any

import numpy as np
import optuna
import pytest
from cmaes import CMA
from optuna.samplers import RandomSampler

from firm_lightning.sweep.own_samplers import (
    GENERATION,
    TOLD,
    SeededPerTrial,
    free_ranges,
    place_of,
    trial_seed,
    value_at,
)
from firm_lightning.sweep.pruners import Halving, Median
from firm_lightning.sweep.samplers import CmaEs, Grid, Random, Sampler, Tpe
from firm_lightning.sweep.space import Parameter, Space

SPACE = Space({"x": Parameter(uniform=(-1.0, 1.0)), "rate": Parameter(log_uniform=(1e-4, 1.0))})


def study_of(sampler: Sampler, space: Space = SPACE, storage: Any = None, direction: str = "maximize") -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(
        sampler=SeededPerTrial(lambda seed: sampler.build(space, seed=seed), seed=sampler.seed),
        storage=storage,
        study_name="s",
        load_if_exists=True,
        direction=direction,
    )


def bowl(chosen: dict[str, Any]) -> float:
    """Best at x = 0.5 and rate = 0.01."""
    return -((chosen["x"] - 0.5) ** 2) - (math.log10(chosen["rate"]) + 2) ** 2


def run(study: optuna.Study, trials: int, space: Space = SPACE) -> list[dict[str, Any]]:
    found = []
    for _ in range(trials):
        trial = study.ask()
        chosen = space.choose(lambda key, values, trial=trial: trial._suggest(key, values.distribution()))
        sign = 1 if study.direction == optuna.study.StudyDirection.MAXIMIZE else -1
        study.tell(trial, sign * bowl(chosen))
        found.append(chosen)
    return found


@pytest.mark.parametrize("sampler", [Random(seed=3), Tpe(seed=3, startup_trials=3), CmaEs(seed=3, population=4)])
def test_an_interrupted_study_draws_what_one_in_a_piece_draws(sampler: Sampler) -> None:
    whole = run(study_of(sampler), 9)
    storage = optuna.storages.InMemoryStorage()
    pieces = [chosen for count in (4, 1, 4) for chosen in run(study_of(sampler, storage=storage), count)]
    assert pieces == whole
    assert len({chosen["x"] for chosen in whole}) == 9, "no trial is like another"


def test_another_seed_draws_otherwise() -> None:
    assert run(study_of(Random(seed=0)), 2) != run(study_of(Random(seed=1)), 2)


def test_a_random_trial_is_that_of_its_own_seed() -> None:
    study = study_of(Random(seed=5))
    run(study, 2)
    second = optuna.create_study(sampler=RandomSampler(seed=trial_seed(5, 1))).ask()
    assert second.suggest_float("x", -1.0, 1.0) == study.trials[1].params["x"]


def test_grid_gives_every_combination_once_in_order() -> None:
    space = Space({"x": Parameter(uniform=(0.0, 1.0), points=2), "rate": Parameter(choice=[0.1, 0.2])})
    grid = Grid()
    assert run(study_of(grid, space), 4, space) == [
        {"x": 0.0, "rate": 0.1},
        {"x": 0.0, "rate": 0.2},
        {"x": 1.0, "rate": 0.1},
        {"x": 1.0, "rate": 0.2},
    ]
    grid.check(space, trials=4)
    with pytest.raises(ValueError, match="^trials 5: the grid has 4 combinations; give at most as many trials$"):
        grid.check(space, trials=5)


@pytest.mark.parametrize(
    ("given", "place", "value"),
    [
        ({"uniform": (2.0, 4.0)}, 0.25, 2.5),
        ({"log_uniform": (1e-4, 1e-2)}, 0.5, 1e-3),
        ({"uniform": (2.0, 4.0)}, 1.5, 4.0),
    ],
)
def test_places_in_the_unit_interval(given: dict[str, Any], place: float, value: float) -> None:
    parameter = Parameter(**given)
    assert value_at(parameter, place) == pytest.approx(value, rel=1e-12)
    if place <= 1:
        assert place_of(parameter, value) == pytest.approx(place, abs=1e-12)


def test_whole_numbers_have_equal_shares_of_the_unit_interval() -> None:
    parameter = Parameter(integer=(1, 4))
    assert [value_at(parameter, place) for place in (0.0, 0.24, 0.26, 0.49, 0.51, 0.76, 1.0)] == [1, 1, 2, 2, 3, 4, 4]
    assert [place_of(parameter, value) for value in (1, 4)] == [0.125, 0.875]


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_cma_es_tells_whole_generations(direction: str) -> None:
    """Trial 9 is asked of a strategy that was told the generations 0-3 and 4-7, as ``cmaes`` itself would."""
    study = study_of(CmaEs(seed=2, population=4, sigma=0.3), direction=direction)
    found = run(study, 10)
    assert [t.system_attrs[GENERATION] for t in study.trials] == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]
    bounds = np.array([[0.0, 1.0], [0.0, 1.0]])
    strategy = CMA(mean=np.full(2, 0.5), sigma=0.3, bounds=bounds, seed=trial_seed(2, 9), population_size=4)
    for generation in (found[:4], found[4:8]):
        strategy.tell([(np.array([(c["x"] + 1) / 2, math.log10(c["rate"]) / 4 + 1]), -bowl(c)) for c in generation])
    x, rate = strategy.ask()
    assert found[9]["x"] == pytest.approx(2 * x - 1, abs=1e-9)
    assert math.log10(found[9]["rate"]) == pytest.approx(4 * rate - 4, abs=1e-9)


def test_cma_es_is_told_the_same_trials_whatever_ends_later() -> None:
    """Five trials are drawn before any has ended; the first of them ends last, when four others were told."""
    study = study_of(CmaEs(seed=0, population=4))

    def draw() -> optuna.Trial:
        trial = study.ask()
        SPACE.choose(lambda key, values: trial._suggest(key, values.distribution()))
        return trial

    trials = [draw() for _ in range(5)]
    for trial in reversed(trials[1:]):
        study.tell(trial, bowl(trial.params))
    draw()
    study.tell(trials[0], bowl(trials[0].params))
    draw()
    assert [trial.system_attrs for trial in study.trials[5:]] == [{GENERATION: 1, TOLD: [1, 2, 3, 4]}] * 2


def test_cma_es_goes_on_with_another_population() -> None:
    storage = optuna.storages.InMemoryStorage()
    run(study_of(CmaEs(seed=0, population=4), storage=storage), 6)
    study = study_of(CmaEs(seed=0, population=5), storage=storage)
    run(study, 2)
    noted = [trial.system_attrs for trial in study.trials[6:]]
    assert noted == [{GENERATION: 0, TOLD: []}, {GENERATION: 1, TOLD: [0, 1, 2, 3, 6]}], "4 are no generation of 5"


def test_cma_es_finds_the_bottom_of_a_bowl() -> None:
    best = max(bowl(chosen) for chosen in run(study_of(CmaEs(seed=0)), 90))
    assert best > -0.01
    assert max(bowl(chosen) for chosen in run(study_of(Random(seed=0)), 90)) < best


def test_cma_es_keeps_nothing_that_runs_code_when_it_is_read() -> None:
    study = study_of(CmaEs(seed=0, population=4))
    run(study, 6)
    assert {name for trial in study.trials for name in trial.system_attrs} == {GENERATION, TOLD}


def test_cma_es_draws_choices_and_conditions_at_random() -> None:
    space = Space(
        {
            "x": Parameter(uniform=(-1.0, 1.0)),
            "rate": Parameter(log_uniform=(1e-4, 1.0)),
            "kind": Parameter(choice=["a", "b"]),
            "y": Parameter(uniform=(0.0, 1.0), when={"kind": "b"}),
        }
    )
    assert free_ranges(space) == ["x", "rate"]
    found = run(study_of(CmaEs(seed=0, population=4), space), 12, space)
    assert {chosen["kind"] for chosen in found} == {"a", "b"}
    assert all(("y" in chosen) == (chosen["kind"] == "b") for chosen in found)
    only = Space({"kind": Parameter(choice=["a", "b"])})
    with pytest.raises(ValueError, match="^CmaEs moves ranges of numbers without a condition, and the space has none"):
        CmaEs().check(only, trials=3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Tpe(startup_trials=-1), "startup_trials -1 must be at least 0"),
        (lambda: Tpe(candidates=0), "candidates 0 must be at least 1"),
        (lambda: CmaEs(population=1), "population 1 must be at least 4"),
        (lambda: CmaEs(sigma=0), "sigma 0 must be above 0 and at most 1"),
        (lambda: Halving(first=0), "first 0 must be at least 1 and factor 3 at least 2"),
        (
            lambda: Median(percentile=100),
            "startup_trials 5 must be at least 1, warmup 0 at least 0 and percentile 100 between 0 and 100",
        ),
    ],
)
def test_refused_settings(make: Any, message: str) -> None:
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == message


def reports(pruner: Any, runs: list[list[float]]) -> list[int | None]:
    """For each run after how many values it was given up."""
    study = optuna.create_study(pruner=pruner.build(), direction="maximize", sampler=RandomSampler(seed=0))
    found: list[int | None] = []
    for values in runs:
        trial = study.ask()
        after = None
        for place, value in enumerate(values, start=1):
            trial.report(value, place)
            if trial.should_prune():
                after = place
                break
        found.append(after)
        study.tell(
            trial, *([None] if after else [values[-1]]), state=None if not after else optuna.trial.TrialState.PRUNED
        )
    return found


def test_median_gives_up_below_the_median_after_the_warmup() -> None:
    runs = [[1.0, 2.0, 3.0], [3.0, 4.0, 5.0], [1.0, 1.0, 1.0], [2.5, 3.5, 4.0]]
    assert reports(Median(startup_trials=2), runs) == [None, None, 1, None]
    assert reports(Median(startup_trials=2, warmup=1), runs) == [None, None, 2, None]
    assert reports(Median(startup_trials=3), runs) == [None, None, None, None]


def test_halving_lets_the_best_share_go_on() -> None:
    runs = [[3.0, 3.0, 3.0, 3.0], [1.0, 1.0, 1.0, 1.0], [4.0, 4.0, 4.0, 4.0]]
    assert reports(Halving(first=1, factor=2), runs) == [None, 1, None]
    assert reports(Halving(first=2, factor=2), runs) == [None, 2, None]

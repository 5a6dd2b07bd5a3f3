"""The study: opened, and kept from mixing trials of different settings. Importing this module imports Optuna."""

from __future__ import annotations

import warnings
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from firm_lightning.sweep.database import open_database, reopen, set_direction, without_password
from firm_lightning.sweep.own_samplers import SeededPerTrial
from firm_lightning.sweep.settings import SweepSettings

IDENTITY = "firm_lightning:identity"
CHOSEN, CUTS, OUTCOME, REASON, STARTS, TRAINING = (
    f"firm_lightning:{name}" for name in ("chosen", "cuts", "outcome", "reason", "starts", "training")
)
MAY_CHANGE = {"metric", "direction", "take"}
"""While nothing is known, these decide nothing about a trial's training."""


def open_study(settings: SweepSettings, *, retry_failed: bool = False) -> optuna.Study:
    """Open the study, or begin it.

    Args:
        settings: The sweep's.
        retry_failed: Let failed trials wait to be run again, those that diverged excepted.

    Raises:
        ValueError: The database cannot be opened, or trials of other settings lie there.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    if settings.storage is None:
        settings.output.mkdir(parents=True, exist_ok=True)
    storage = open_database(_url(settings), create=True)
    assert storage is not None
    direction = StudyDirection.MAXIMIZE if settings.direction == "max" else StudyDirection.MINIMIZE
    study = optuna.create_study(
        storage=storage, study_name=settings.study_name, direction=direction, load_if_exists=True
    )
    _check_identity(study, settings)
    if study.direction != direction:
        set_direction(storage, study._study_id, direction)
    if retry_failed:
        failed = [trial._trial_id for trial in trials_of(study, settings) if _may_be_retried(trial)]
        reopen(storage, failed, forget=(CUTS, OUTCOME, REASON))
    return _loaded(storage, settings)


def load_study(settings: SweepSettings) -> optuna.Study:
    """Open a study that is there; nothing is created.

    Raises:
        ValueError: There is none, or its trials have other settings.
    """
    url = _url(settings)
    storage = open_database(url, create=False)
    try:
        if storage is None:
            raise KeyError
        study = _loaded(storage, settings)
    except KeyError:
        where = "" if settings.storage is None else f" in {without_password(url)}"
        raise ValueError(f"{settings.output}: there is no sweep yet{where}") from None
    _check_identity(study, settings)
    return study


def begin(study: optuna.Study, settings: SweepSettings) -> None:
    """Write down with which settings the trials are made; to be called once these are known to be right.

    Raises:
        ValueError: Somebody began with other settings in the meantime.
    """
    _check_identity(study, settings)
    if study.user_attrs.get(IDENTITY) != settings.identity():
        study.set_user_attr(IDENTITY, settings.identity())


def trials_of(study: optuna.Study, settings: SweepSettings) -> list[FrozenTrial]:
    """Every trial by number, but those beyond the last that nobody has started: they wait for a higher ``trials``."""
    return [trial for trial in study.get_trials(deepcopy=False) if not is_surplus(trial, settings)]


def is_surplus(trial: FrozenTrial, settings: SweepSettings) -> bool:
    """Whether it is one too many: machines that ask at once for the last trial get one each."""
    return trial.number >= settings.trials and not trial.state.is_finished() and STARTS not in trial.user_attrs


def _loaded(storage: RDBStorage, settings: SweepSettings) -> optuna.Study:
    sampler = settings.sampler
    return optuna.load_study(
        storage=storage,
        study_name=settings.study_name,
        sampler=SeededPerTrial(lambda seed: sampler.build(settings.space, seed=seed), seed=sampler.seed),
        pruner=settings.pruner.build() if settings.pruner else optuna.pruners.NopPruner(),
    )


def _url(settings: SweepSettings) -> str:
    if settings.storage is not None:
        return settings.storage
    return f"sqlite:///{(settings.output / 'study.db').as_posix()}"


def _may_be_retried(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.FAIL and trial.user_attrs.get(OUTCOME) != "diverged"


def _check_identity(study: optuna.Study, settings: SweepSettings) -> None:
    """Trials of other settings must not be mixed with these."""
    trials = trials_of(study, settings)
    now: dict[str, Any] = settings.identity()
    before: dict[str, Any] = study.user_attrs.get(IDENTITY, {})
    differing = [key for key in dict.fromkeys((*before, *now)) if before.get(key) != now.get(key)]
    if trials and differing and not (MAY_CHANGE.issuperset(differing) and not any(map(_is_known, trials))):
        lines = [f"  {key}: {before.get(key, '(not set)')} then, {now.get(key, '(not set)')} now" for key in differing]
        raise ValueError(
            f"{settings.output}: its trials were made with other settings:\n" + "\n".join(lines) + "\n"
            "Give them their values back to go on with that sweep, or another output to begin a new one."
        )


def _is_known(trial: FrozenTrial) -> bool:
    """Whether something is known of its metric, or will be soon."""
    return trial.state not in (TrialState.WAITING, TrialState.FAIL) or bool(trial.intermediate_values)

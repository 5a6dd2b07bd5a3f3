"""The study in its database. Importing this module imports Optuna."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import optuna
import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from firm_lightning.sweep.own_samplers import SeededPerTrial
from firm_lightning.sweep.settings import SweepSettings

IDENTITY = "firm_lightning:identity"
SURPLUS = "firm_lightning:surplus"
"""Marks a trial that two machines asked for beyond the last; it was never run."""
REASON = "firm_lightning:reason"
BUSY_S = 120
ATTEMPTS = 6
CREATION_ATTEMPTS = 4
Result = TypeVar("Result")


def open_study(settings: SweepSettings) -> optuna.Study:
    """Open the study, or begin it.

    Raises:
        ValueError: The database cannot be opened, or a sweep with other settings lies there.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    storage = _storage(settings)
    sampler = settings.sampler
    study = optuna.create_study(
        storage=storage,
        study_name=settings.study_name,
        direction="maximize" if settings.direction == "max" else "minimize",
        sampler=SeededPerTrial(lambda seed: sampler.build(settings.space, seed=seed), seed=sampler.seed),
        pruner=settings.pruner.build() if settings.pruner else optuna.pruners.NopPruner(),
        load_if_exists=True,
    )
    _check_identity(study, settings)
    return study


def begin(study: optuna.Study, settings: SweepSettings) -> None:
    """Write down with which settings the trials are made; to be called once these are known to be right."""
    study.set_user_attr(IDENTITY, settings.identity())


def _storage(settings: SweepSettings) -> RDBStorage:
    url = settings.storage
    if url is None:
        settings.output.mkdir(parents=True, exist_ok=True)
        url = f"sqlite:///{(settings.output / 'study.db').as_posix()}"
    try:
        is_sqlite = sqlalchemy.make_url(url).get_backend_name() == "sqlite"
        storage = _created(url, {"connect_args": {"timeout": BUSY_S}} if is_sqlite else {})
    except Exception as error:  # of SQLAlchemy, the driver or Optuna
        raise ValueError(f"storage {_without_password(url)}: cannot be opened: {error}") from error
    if is_sqlite:
        _take_turns(storage)
    return storage


def _created(url: str, engine_kwargs: dict[str, Any]) -> RDBStorage:
    """Open the database; two machines that begin at once may both try to make its tables, and one is told so."""
    for attempt in range(CREATION_ATTEMPTS - 1):
        try:
            return RDBStorage(url, engine_kwargs=dict(engine_kwargs))
        except (sqlalchemy.exc.IntegrityError, sqlalchemy.exc.OperationalError, StorageInternalError):
            time.sleep(0.3 * (attempt + 1))
    return RDBStorage(url, engine_kwargs=dict(engine_kwargs))


def _without_password(url: str) -> str:
    try:
        return sqlalchemy.make_url(url).render_as_string(hide_password=True)
    except sqlalchemy.exc.ArgumentError:
        return url


def _take_turns(storage: RDBStorage) -> None:
    """Let every transaction lock the file first: else two processes may both find a trial free, and both take it."""

    @sqlalchemy.event.listens_for(storage.engine, "connect")
    def leave_transactions_to_us(connection: Any, record: Any) -> None:
        connection.isolation_level = None

    @sqlalchemy.event.listens_for(storage.engine, "begin")
    def lock(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    storage.engine.dispose()  # connections from before


def _check_identity(study: optuna.Study, settings: SweepSettings) -> None:
    """Trials of other settings must not be mixed with these; a study in which nothing was found out may change."""
    now = settings.identity()
    before = study.user_attrs.get(IDENTITY, {})
    found_out = any(t.state in (TrialState.COMPLETE, TrialState.PRUNED) for t in all_trials(study))
    if before != now and found_out:
        differing = [key for key in dict.fromkeys((*before, *now)) if before.get(key) != now.get(key)]
        lines = [f"  {key}: {before.get(key, '(not set)')} then, {now.get(key, '(not set)')} now" for key in differing]
        raise ValueError(
            f"{settings.output}: its trials were made with other settings:\n" + "\n".join(lines) + "\n"
            "Give them their values back to go on with that sweep, or another output to begin a new one."
        )


def all_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Every trial of the study but surplus ones, by number."""
    return [trial for trial in study.get_trials(deepcopy=False) if not trial.user_attrs.get(SURPLUS)]


def patiently(call: Callable[[], Result]) -> Result:
    """Call again, six times in all over a minute, while the database does not answer."""
    for attempt in range(ATTEMPTS - 1):
        try:
            return call()
        except StorageInternalError:
            time.sleep(2**attempt)
    return call()

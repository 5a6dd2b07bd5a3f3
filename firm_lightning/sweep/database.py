"""The database of a study: opened, and told the few things that Optuna has no call for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.storages._rdb.models import StudyDirectionModel, TrialModel, TrialUserAttributeModel
from optuna.study import StudyDirection
from optuna.trial import TrialState

BUSY_S = 120
CREATION_ATTEMPTS = 4


def open_database(url: str, *, create: bool) -> RDBStorage | None:
    """Open the database of a URL; without ``create`` None where it holds no studies, and nothing is made there.

    Raises:
        ValueError: It cannot be opened.
    """
    try:
        is_sqlite = sqlalchemy.make_url(url).get_backend_name() == "sqlite"
        if not create and not _holds_studies(url):
            return None
        storage = _created(url, {"connect_args": {"timeout": BUSY_S}} if is_sqlite else {})
    except Exception as error:  # of SQLAlchemy, the driver or Optuna
        raise ValueError(f"storage {without_password(url)}: cannot be opened: {error}") from error
    if is_sqlite:
        _take_turns(storage)
    return storage


def without_password(url: str) -> str:
    """A URL that can be shown."""
    try:
        return sqlalchemy.make_url(url).render_as_string(hide_password=True)
    except sqlalchemy.exc.ArgumentError:
        return url


def set_direction(storage: RDBStorage, study: int, direction: StudyDirection) -> None:
    """Let a study, by its id, look for more or for less; whoever has it open has to open it again."""
    of_study = StudyDirectionModel.study_id == study
    with storage.engine.begin() as connection:
        connection.execute(sqlalchemy.update(StudyDirectionModel).where(of_study).values(direction=direction))


def reopen(storage: RDBStorage, trials: Sequence[int], *, forget: Sequence[str]) -> None:
    """Let failed trials, by their ids, wait again without these attributes; whoever has the study open sees it late."""
    failed = TrialModel.trial_id.in_(trials) & (TrialModel.state == TrialState.FAIL)
    attributes = TrialUserAttributeModel.trial_id.in_(trials) & TrialUserAttributeModel.key.in_(forget)
    waiting: dict[Any, Any] = {TrialModel.state: TrialState.WAITING, TrialModel._datetime_complete_utc: None}
    with storage.engine.begin() as connection:
        connection.execute(sqlalchemy.update(TrialModel).where(failed).values(waiting))
        connection.execute(sqlalchemy.delete(TrialUserAttributeModel).where(attributes))


def _holds_studies(url: str) -> bool:
    parsed = sqlalchemy.make_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file():
        return False  # to connect would make the file
    engine = sqlalchemy.create_engine(parsed)
    try:
        return sqlalchemy.inspect(engine).has_table("studies")
    finally:
        engine.dispose()


def _created(url: str, engine_kwargs: dict[str, Any]) -> RDBStorage:
    """Open the database; two machines that begin at once may both try to make its tables, and one is told so."""
    for attempt in range(CREATION_ATTEMPTS - 1):
        try:
            return RDBStorage(url, engine_kwargs=dict(engine_kwargs))
        except (sqlalchemy.exc.IntegrityError, sqlalchemy.exc.OperationalError, StorageInternalError):
            time.sleep(0.3 * (attempt + 1))
    return RDBStorage(url, engine_kwargs=dict(engine_kwargs))


def _take_turns(storage: RDBStorage) -> None:
    """Let every transaction lock the file first: else two processes may both find a trial free, and both take it."""

    @sqlalchemy.event.listens_for(storage.engine, "connect")
    def leave_transactions_to_us(connection: Any, record: Any) -> None:
        connection.isolation_level = None

    @sqlalchemy.event.listens_for(storage.engine, "begin")
    def lock(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    storage.engine.dispose()  # connections from before

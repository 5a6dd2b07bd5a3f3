from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from firm_lightning.sweep.logged import Logged, LoggedReader, final_value, never_logged, read_logged

HEAD = "epoch,step,train/loss,val/score\n"


def write(run: Path, version: int, text: str) -> None:
    file = run / "metrics" / f"version_{version}" / "metrics.csv"
    file.parent.mkdir(parents=True)
    file.write_text(text)


def test_values_are_read_in_order(tmp_path: Path) -> None:
    write(tmp_path, 0, HEAD + "0,9,0.5,\n0,9,,0.25\n1,19,0.4,\n1,19,,nan\n")
    logged = read_logged(tmp_path, "val/score")
    assert logged.names == ("train/loss", "val/score")
    assert [step for step, _ in logged.values] == [9, 19]
    assert logged.values[0][1] == 0.25 and math.isnan(logged.values[1][1])


@pytest.mark.parametrize("tail", ["2,29,,0.7", "2,2", "2,29,,", "2,29,,0.7,1\n", "x,,\n", "2,29,,what\n"])
def test_a_line_that_is_not_whole_is_left_out(tail: str, tmp_path: Path) -> None:
    write(tmp_path, 0, HEAD + "0,9,,0.25\n1,19,,0.5\n" + tail)
    assert read_logged(tmp_path, "val/score").values == ((9, 0.25), (19, 0.5))


def test_a_later_start_replaces_what_came_after_its_first_step(tmp_path: Path) -> None:
    write(tmp_path, 2, HEAD + "1,19,,0.6\n")
    write(tmp_path, 10, HEAD + "2,29,,0.8\n")
    write(tmp_path, 1, HEAD + "0,9,,0.1\n1,19,,0.2\n2,29,,0.3\n")
    assert read_logged(tmp_path, "val/score").values == ((9, 0.1), (19, 0.6), (29, 0.8))


def test_a_test_by_hand_and_an_empty_start_change_nothing(tmp_path: Path) -> None:
    write(tmp_path, 0, HEAD + "0,9,,0.25\n")
    write(tmp_path, 1, "epoch,step,test/score\n0,0,0.9\n")
    write(tmp_path, 2, HEAD)
    write(tmp_path, 3, "")
    assert read_logged(tmp_path, "val/score").values == ((9, 0.25),)


def test_a_validation_by_hand_changes_nothing(tmp_path: Path) -> None:
    """``validate`` logs at step 0; so does a training that evaluates before its first round, or begins anew."""
    evaluated = "epoch,step,val/score\n0,0,0.9\n"
    write(tmp_path, 0, evaluated)
    assert read_logged(tmp_path, "val/score").values == ((0, 0.9),)
    write(tmp_path, 1, "epoch,step,val/score\n0,0,0.1\n0,4,0.2\n")
    assert read_logged(tmp_path, "val/score").values == ((0, 0.1), (4, 0.2))
    write(tmp_path, 2, evaluated)
    assert read_logged(tmp_path, "val/score").values == ((0, 0.1), (4, 0.2))
    write(tmp_path, 3, "epoch,step,round/loss,val/score\n0,0,,0.3\n0,0,0.5,\n")
    assert read_logged(tmp_path, "val/score").values == ((0, 0.3),)


def test_a_file_that_grows_is_read_on(tmp_path: Path) -> None:
    reader = LoggedReader(tmp_path, "val/score")
    assert reader.read() == Logged((), ())
    write(tmp_path, 0, HEAD + "0,9,,0.25\n1,1")
    file = tmp_path / "metrics/version_0/metrics.csv"
    assert reader.read() == Logged(((9, 0.25),), ("val/score",))
    file.write_text(HEAD + "0,9,,0.75\n1,19,0.4,\n1,19,,0.5\n")
    assert reader.read() == Logged(((9, 0.25), (19, 0.5)), ("train/loss", "val/score")), "the first row only once"
    assert reader.read() == reader.read()
    write(tmp_path, 1, HEAD + "1,19,,0.625\n")
    assert reader.read().values == ((9, 0.25), (19, 0.625))


def test_a_file_with_the_same_size_and_time_is_not_opened_again(tmp_path: Path) -> None:
    write(tmp_path, 0, HEAD + "0,9,,0.25\n")
    file = tmp_path / "metrics/version_0/metrics.csv"
    reader = LoggedReader(tmp_path, "val/score")
    reader.read()
    before = file.stat()
    file.write_text("another," + file.read_text()[8:])
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert reader.read().values == ((9, 0.25),)
    os.utime(file, ns=(0, 0))
    assert reader.read().values == ()


@pytest.mark.parametrize(
    "text", ["epoch,step,train/loss,train/new,val/score\n0,9,,0.1,0.5\n1,19,,,0.75\n", HEAD + "0,9,,0.5\n"]
)
def test_a_file_that_was_written_anew_is_read_anew(text: str, tmp_path: Path) -> None:
    """Lightning's logger does so when there are new columns."""
    write(tmp_path, 0, HEAD + "0,9,,0.25\n1,19,,0.5\n")
    reader = LoggedReader(tmp_path, "val/score")
    reader.read()
    (tmp_path / "metrics/version_0/metrics.csv").write_text(text)
    assert reader.read() == read_logged(tmp_path, "val/score")
    assert reader.read().values[0] == (9, 0.5)


def test_nothing_there(tmp_path: Path) -> None:
    assert read_logged(tmp_path, "val/score") == Logged((), ())


def test_which_value_counts() -> None:
    logged = Logged(((1, 0.5), (2, 0.9), (3, 0.7)), ())
    assert final_value(logged, take="last", direction="max") == 0.7
    assert final_value(logged, take="best", direction="max") == 0.9
    assert final_value(logged, take="best", direction="min") == 0.5
    broken = Logged(((1, 0.5), (2, math.nan)), ())
    assert final_value(broken, take="best", direction="max") == 0.5
    with pytest.raises(ValueError, match="^the metric was nan at step 2$"):
        final_value(broken, take="last", direction="max")
    with pytest.raises(ValueError, match="^the metric was inf at step 4$"):
        final_value(Logged(((4, math.inf),), ()), take="best", direction="max")


def test_never_logged() -> None:
    assert never_logged("a", ()) == "metric 'a' was never logged: the run logged nothing"
    names = [f"val/{number}" for number in range(42)]
    said = never_logged("val/7x", names)
    assert said.startswith("metric 'val/7x' was never logged; nearest: 'val/7' (logged were: val/0, val/1, ")
    assert said.endswith("val/39 and 2 more)")

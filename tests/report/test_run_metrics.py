from __future__ import annotations

from pathlib import Path

import pytest

from firm_lightning.report.run_metrics import Point, read_metrics, thinned


def start(run: Path, number: int, text: str) -> Path:
    """What one start of a run logged."""
    path = run / "metrics" / f"version_{number}" / "metrics.csv"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def test_rows_of_one_step_are_joined(tmp_path: Path) -> None:
    start(tmp_path, 0, "epoch,step,train/loss,lr\n,9,,0.5\n0,9,2.0,\n0,19,1.0,0.25\n")
    found = read_metrics(tmp_path)
    assert found.series == {
        "lr": (Point(9, 0.5), Point(19, 0.25, 0)),
        "train/loss": (Point(9, 2.0, 0), Point(19, 1.0, 0)),
    }
    assert (found.steps, found.epochs, found.starts, found.draws_rounds) == (20, 1, 1, False)


def test_a_resumed_run_is_told_as_one(tmp_path: Path) -> None:
    """The second start went on from step 20: what the first logged of later steps was lost with it."""
    start(tmp_path, 0, "epoch,step,round/reward,watch/x\n0,9,0.1,\n1,19,0.2,\n2,29,0.9,5\n")
    start(tmp_path, 1, "epoch,step,round/reward\n2,29,0.3\n3,39,0.4\n")
    found = read_metrics(tmp_path)
    assert found.series == {"round/reward": (Point(9, 0.1, 0), Point(19, 0.2, 1), Point(29, 0.3, 2), Point(39, 0.4, 3))}
    assert (found.starts, found.draws_rounds) == (2, True)


def test_a_run_begun_anew_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    start(tmp_path, 0, "epoch,step,train/loss\n0,9,3.0\n0,19,3.0\n")
    start(tmp_path, 2, "epoch,step,train/loss\n0,4,1.0\n")
    start(tmp_path, 10, "epoch,step,train/loss\n0,9,0.5\n")  # later than version 2
    assert read_metrics(tmp_path).series == {"train/loss": (Point(4, 1.0, 0), Point(9, 0.5, 0))}


def test_tests_and_validations_by_themselves_are_left_out(tmp_path: Path) -> None:
    start(tmp_path, 0, "epoch,step,train/loss\n0,9,3.0\n")
    start(tmp_path, 1, "epoch,step,test/mae\n0,0,1.0\n")
    start(tmp_path, 2, "epoch,step,val/mae\n0,0,1.0\n")
    assert list(read_metrics(tmp_path).series) == ["train/loss"]


def test_what_is_not_finite_is_no_point(tmp_path: Path) -> None:
    start(tmp_path, 0, "epoch,step,train/loss\n0,9,nan\n0,19,inf\n0,29,1.5\n")
    assert read_metrics(tmp_path).series == {"train/loss": (Point(29, 1.5, 0),)}


@pytest.mark.parametrize("line", ["0,1x,2.0", "0", "\0\0\0", "0,12,2.0,7", "0,12,\xff"])
def test_a_damaged_line_is_named_and_costs_no_other(tmp_path: Path, line: str) -> None:
    path = start(tmp_path, 0, "")
    path.write_bytes(f"epoch,step,train/loss\n0,9,3.0\n{line}\n0,19,1.0\n".encode("latin-1"))
    found = read_metrics(tmp_path)
    assert found.series == {"train/loss": (Point(9, 3.0, 0), Point(19, 1.0, 0))}
    assert found.problems == (f"{path}:3: left out, no row of logged numbers",)


def test_a_line_that_is_being_written_is_not_read(tmp_path: Path) -> None:
    start(tmp_path, 0, "epoch,step,train/loss\n0,9,3.0\n0,19,1.")
    found = read_metrics(tmp_path)
    assert (found.series, found.problems) == ({"train/loss": (Point(9, 3.0, 0),)}, ())


def test_many_damaged_lines_are_counted(tmp_path: Path) -> None:
    path = start(tmp_path, 0, "epoch,step,train/loss\n0,9,3.0\n" + "?\n" * 3)
    assert read_metrics(tmp_path).problems == (f"{path}:3: left out, no row of logged numbers; and 2 more lines",)


def test_thinned_points_are_means() -> None:
    points = [Point(step, float(step), 0) for step in range(7)]
    assert thinned(points, 7) == points
    assert thinned(points, 3) == [Point(2, 1.0, 0), Point(5, 4.0, 0), Point(6, 6.0, 0)]

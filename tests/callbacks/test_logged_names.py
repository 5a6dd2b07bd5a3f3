"""What a run of every kind leaves in its TensorBoard files: each name that ``docs/logging.md`` lists for it."""

from __future__ import annotations

import copy
import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from firm_lightning.cli import main
from firm_lightning.data.scenes import write_scenes
from firm_lightning.scenes.graph import DEMO_WORLD
from tests.faults.runs import CRITIC, DIFFUSION_RL, FLOW_MATCHING, drawings, prompts

DOCS = Path(__file__).parents[2] / "docs" / "logging.md"
QUICK = {
    "accelerator": "cpu",
    "log_every_n_steps": 1,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
}
KINDS = ("scalars", "images", "tensors")
EVERY_TRAINING = {
    "train/loss",
    "train/learning_rate",
    "train/gradient_norm",
    "throughput/samples_per_s",
    "memory/resident_mib",
}
FIGURES = {"n", "mae", "best_constant_mae", "bias", "within_one", "unreadable_rate"}


def run(command: str, config: dict[str, Any], **trainer: Any) -> EventAccumulator:
    """Run a command in the current folder; all that its TensorBoard files hold."""
    config = {"run_name": "run", "threads": 1} | copy.deepcopy(config)
    config["trainer"] = {**QUICK, **config["trainer"], **trainer}
    Path("run.yaml").write_text(yaml.safe_dump(config))
    main([command, "--config", "run.yaml"])
    found = EventAccumulator("checkpoints/run", size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    found.Reload()
    known = documented()
    logged = [
        name.removesuffix("/text_summary") for kind in ("scalars", "images", "tensors") for name in found.Tags()[kind]
    ]
    assert [name for name in logged if not known.fullmatch(name)] == [], "docs/logging.md must list every name"
    return found


def names(found: EventAccumulator, kind: str = "scalars") -> set[str]:
    return set(found.Tags()[kind])


def documented() -> re.Pattern[str]:
    """Every name in the tables of the docs; ``<task>`` and the like stand for a word."""
    names = [
        name
        for line in DOCS.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`([^`]+)`", line.split("|")[1])
    ]
    return re.compile("|".join(re.sub("<[a-z_]+>", "[a-z0-9_]+", name) for name in names))


def columns() -> set[str]:
    """Every column of every CSV file of the run."""
    files = Path("checkpoints/run/metrics").glob("version_*/metrics.csv")
    return {name for file in files for name in next(csv.reader(file.open(newline="")))}


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def critic() -> dict[str, Any]:
    """A critic of scenes that learns four steps from eight pictures and is validated on three."""
    counts = {"train": {"alignment": 8}, "val": {"alignment": 3}, "test": {"alignment": 3}}
    write_scenes(output=Path("set"), world=DEMO_WORLD, counts=counts)
    folder = {
        name: {"class_path": "firm_lightning.data.jsonl_folder.JsonlFolder", "init_args": {"path": f"set/{name}"}}
        for name in counts
    }
    data = {"rubrics": {"alignment": "scenes_alignment"}, "batch_size": 2, **folder}
    model = copy.deepcopy(CRITIC.config["model"])
    model["init_args"]["max_new_tokens"] = 4
    return {
        "trainer": {"max_epochs": 1},
        "model": model,
        "data": {"class_path": "firm_lightning.data.scoring.ScoringData", "init_args": data},
    }


def rl(**evaluation: Any) -> dict[str, Any]:
    """Five rounds of the toy policy, with an evaluation."""
    prompts(Path())
    config = copy.deepcopy(DIFFUSION_RL.config)
    config["trainer"]["callbacks+"] = [
        {"class_path": "firm_lightning.callbacks.picture_evaluation.WriteEvaluation"},
        {"class_path": "firm_lightning.callbacks.watch_dogs.WatchDogs", "init_args": {"window": 3}},
        {"class_path": "firm_lightning.callbacks.show_pictures.ShowPictures", "init_args": {"every_n_rounds": 2}},
    ]
    arguments = config["model"]["init_args"]
    arguments["evaluation"] = {
        "class_path": "firm_lightning.modules.evaluation.Evaluation",
        "init_args": {"prompts": {"path": "prompts.txt"}, "studio": copy.deepcopy(arguments["studio"])} | evaluation,
    }
    return config


def test_a_critic() -> None:
    found = run("fit", critic())
    assert names(found) >= EVERY_TRAINING | {"throughput/tokens_per_s", "throughput/images_per_s", "val/loss"}
    assert names(found) >= {f"val/alignment/{name}" for name in FIGURES}
    assert names(found, "images") == {"val/alignment/confusion"}
    assert len(found.Scalars("train/learning_rate")) == 4
    settings = hyperparameters(found)
    assert settings["model"] == "CriticSFT"
    assert settings["model.tuning"] == "LoraTuning" and settings["model.tuning.rank"] == 2.0
    assert settings["data.rubrics.alignment"] == "scenes_alignment"
    assert columns() >= names(found), "the CSV file beside it has them too"


def test_a_critic_under_test() -> None:
    found = run("test", critic())
    assert names(found) >= {f"test/alignment/{name}" for name in FIGURES}
    (matrix,) = found.Images("test/alignment/confusion")
    assert (matrix.width, matrix.height) == (56 + 6 * 72 + 20, 84 + 5 * 72 + 20)


def test_a_cold_start() -> None:
    drawings(Path())
    found = run("fit", FLOW_MATCHING.config, max_epochs=1)
    assert names(found) >= EVERY_TRAINING | {"throughput/images_per_s", "val/loss"}
    samples, images = (found.Scalars(f"throughput/{name}_per_s") for name in ("samples", "images"))
    assert [event.value for event in samples] == [event.value for event in images]


def test_reinforcement_learning() -> None:
    found = run("fit", rl())
    times = {"sampling_s", "waiting_for_critic_s", "scoring_s", "learning_s"}
    shares = {"sampling_share", "scoring_share", "learning_share"}
    assert names(found) >= EVERY_TRAINING | {f"time/{name}" for name in times | shares}
    assert names(found) >= {"round/reward", "round/group_spread", "round/critic/alignment", "train/kl"}
    assert names(found) >= {"throughput/images_per_s", "watch/blank_share", "val/critic/reward"}
    per_round = [[event.value for event in found.Scalars(f"time/{name}")] for name in sorted(shares)]
    assert np.asarray(per_round).shape == (3, 5)
    assert np.asarray(per_round).sum(axis=0) == pytest.approx(1.0, abs=1e-6)
    assert names(found, "images") == {"round/pictures", "val/pictures"}
    assert [event.step for event in found.Images("round/pictures")] == [3, 9, 15]  # rounds 0, 2 and 4
    assert len(found.Images("val/pictures")) == 5
    table = found.Tensors("val/prompts/text_summary")[0].tensor_proto.string_val[0].decode()
    assert table.splitlines()[0] == "| prompt | reward | alignment |" and len(table.splitlines()) == 2 + 5
    assert hyperparameters(found)["model.objective.kl_weight"] == 0.01
    tested = run("test", rl())
    assert names(tested, "images") >= {"test/pictures"}
    assert "test/critic/reward" in names(tested)
    assert results() >= {"train/loss", "round/reward", "val/critic/reward", "test/critic/reward"}


def results() -> set[str]:
    """What the tab HPARAMS offers as results of the runs."""
    from tensorboard import context
    from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
    from tensorboard.plugins.base_plugin import TBContext
    from tensorboard.plugins.hparams.backend_context import Context

    files = plugin_event_multiplexer.EventMultiplexer().AddRunsFromDirectory("checkpoints")
    files.Reload()
    provider = data_provider.MultiplexerDataProvider(files, "checkpoints")
    backend, request = Context(TBContext(data_provider=provider)), context.RequestContext()
    found = backend.experiment_from_metadata(request, "", True, backend.hparams_metadata(request, ""), [])
    return {info.name.tag for info in found.metric_infos}


def hyperparameters(found: EventAccumulator) -> dict[str, Any]:
    """What the tab HPARAMS shows as settings."""
    from tensorboard.plugins.hparams import plugin_data_pb2

    content = found.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    start = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
    return {
        name: value.string_value if value.HasField("string_value") else value.number_value
        for name, value in start.hparams.items()
    }

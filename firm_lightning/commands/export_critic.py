"""A critic's checkpoint as a transformers folder."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from firm_lightning.callbacks.model_card import Origin, agreement_in
from firm_lightning.callbacks.save_critic import write_critic
from firm_lightning.commands.export import Trained
from firm_lightning.critics.folder import check_folder
from firm_lightning.data.writing import whole_folder
from firm_lightning.modules.trained_critic import critic_dtype, trained_critic


def export_critic(trained: Trained, output: Path, *, dtype: str | None, overwrite: bool) -> None:
    """Write the critic, load it back with stock transformers and ask both a fixed question.

    Raises:
        ValueError: The checkpoint does not fit its config, or the two answer differently; nothing is written then.
    """
    origin = str(trained.ckpt_path)
    module = trained_critic(trained.config, trained.checkpoint, of_config=trained.of_config, origin=origin)
    assert module.chat is not None
    report = trained.report or trained.ckpt_path.parent / "test" / "report.json"
    of_card = Origin(
        config=trained.text,
        steps=trained.checkpoint.get("global_step", 0),
        dtype=dtype or critic_dtype(trained.checkpoint, origin=origin),
        fingerprints=trained.fingerprints,
        agreement=agreement_in(report) if trained.report or report.is_file() else {},
    )
    with whole_folder(output, overwrite=overwrite) as folder:
        check = check_folder(write_critic(module, folder, of_card), module.chat, folder)
        if not check.passed:
            raise ValueError(
                f"{output}: the saved critic is not the one in {origin}: logits differ by up to "
                f"{check.largest_difference:.3g}, it answers {check.answer_loaded!r} and not {check.answer_saved!r}; "
                "nothing was written"
            )
    Console().print(
        f"{output}: loads with AutoModelForImageTextToText and AutoProcessor, and answers alike.",
        markup=False,
        soft_wrap=True,
    )

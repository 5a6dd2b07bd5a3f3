"""``consolidate``: a ZeRO checkpoint, which is a folder, becomes one file."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console


def consolidate(*, ckpt_path: Path, output: Path, optimizer: bool = True, overwrite: bool = False) -> None:
    """Put the pieces of a ZeRO checkpoint together into one file, as a run without ZeRO would have written it.

    "test", "predict" and "export" read the file, and "fit" goes on from it with any strategy and any number of
    processes. It needs neither DeepSpeed nor a GPU, but memory for everything that it puts together: 12 bytes for each
    weight that learns, 4 without the optimiser. Weights that learn are stored in float32. A run under ZeRO need not be
    consolidated to go on under another stage or number of processes: it reads the folder.

    Args:
        ckpt_path: The folder, for example checkpoints/run/last.ckpt.
        output: The file to make.
        optimizer: Whether the file shall hold the optimiser's state, without which "fit" cannot go on from it.
        overwrite: Whether a file that is there already may be replaced.
    """
    from firm_lightning.strategies.atomic import AtomicCheckpointIO
    from firm_lightning.strategies.zero_folder import ZeroFolder, consolidated

    if not ckpt_path.exists():
        raise FileNotFoundError(f"{ckpt_path}: there is no such checkpoint")
    if not ckpt_path.is_dir():
        raise ValueError(f"{ckpt_path}: a file, so there is nothing to put together; use it as it is")
    if output.is_dir() or (output.exists() and not overwrite):
        raise FileExistsError(f"{output} exists. Choose another output, or set overwrite to replace a file.")
    folder = ZeroFolder(ckpt_path)
    whole = consolidated(folder, optimizer=optimizer)
    AtomicCheckpointIO().save_checkpoint(whole, output)
    weights = sum(value.numel() for value in whole["state_dict"].values())
    Console().print(
        f"{output}: {weights:,} weights from {folder.processes} processes of ZeRO stage {folder.stage} "
        f"after step {whole['global_step']}.",
        markup=False,
        soft_wrap=True,
    )

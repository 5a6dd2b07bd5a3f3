"""DeepSpeed ZeRO on GPUs and, over gloo, on CPUs, with checkpoints that any stage and number of processes can read.

Optimiser states (stage 1), gradients too (2), and weights too (3) are cut into parts, one for each process
(Rajbhandari et al., arXiv 1910.02054).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.utilities.seed import reset_seed
from lightning.pytorch.accelerators import CUDAAccelerator
from lightning.pytorch.plugins.precision import DeepSpeedPrecision
from lightning.pytorch.strategies import DeepSpeedStrategy
from torch import Tensor

from firm_lightning.strategies.zero_folder import ZeroFolder, read_file
from firm_lightning.strategies.zero_state import WholeFile, ZeroState

STAGES = (1, 2, 3)
PRECISIONS = ("32-true", "bf16-mixed", "bf16-true")


class ZeroPrecision(DeepSpeedPrecision):
    """Leaves batches as they are: models cast what they need cast, and flow times in bfloat16 are other flow times."""

    def convert_input(self, data: Any) -> Any:
        """The batch itself."""
        return data


class ZeroStrategy(DeepSpeedStrategy):
    """Spread optimiser, gradients and weights over processes (DeepSpeed ZeRO).

    With ``bf16-mixed`` or ``bf16-true`` the model computes in bfloat16 and the optimiser keeps float32 weights. The
    optimiser is the module's own. A checkpoint is a folder, to be written to a file system that all machines share; a
    run may go on from it with another stage or number of processes, and ``python train.py consolidate`` makes one file
    of it for runs without ZeRO. A checkpoint of one file, from a run without ZeRO or consolidated, is read as well.

    Args:
        stage: 1 spreads the optimiser's state, 2 the gradients too, 3 the weights too.
        offload_optimizer: Keep the optimiser's state in the memory of the CPU and step there.
        offload_parameters: Keep the weights in the memory of the CPU, layer by layer on the device (stage 3).
        whole_below: Stage 3 keeps weights of up to so many elements whole on every device.
        reduce_bucket_size: Elements of gradients that are sent together.
        allgather_bucket_size: Elements of weights that are sent together (stages 1 and 2).
        timeout_s: A process that waits longer for the others stops, in seconds.
    """

    precision_plugin: Any

    def __init__(
        self,
        *,
        stage: int = 2,
        offload_optimizer: bool = False,
        offload_parameters: bool = False,
        whole_below: int = 100_000,
        reduce_bucket_size: int = 200_000_000,
        allgather_bucket_size: int = 200_000_000,
        timeout_s: int = 1800,
    ) -> None:
        if stage not in STAGES:
            raise ValueError(f"stage {stage} is not one of 1, 2, 3; for whole weights on every device take 'ddp'")
        if offload_parameters and stage != 3:
            raise ValueError(f"offload_parameters needs stage 3, not {stage}: other stages keep weights whole")
        super().__init__(
            stage=stage,
            offload_optimizer=offload_optimizer,
            offload_parameters=offload_parameters,
            reduce_bucket_size=reduce_bucket_size,
            allgather_bucket_size=allgather_bucket_size,
            logging_batch_size_per_gpu=1,  # else a data loader is made for it before the model is there
            timeout=timedelta(seconds=timeout_s),
        )
        assert isinstance(self.config, dict)
        self.config["zero_optimization"]["stage3_param_persistence_threshold"] = whole_below
        self.config["data_types"] = {"grad_accum_dtype": "fp32"}  # DeepSpeed's default is that of the weights
        self.config["zero_force_ds_cpu_optimizer"] = False  # the module's optimiser also where it steps on the CPU
        self._groups: list[list[str]] = []
        self._source: ZeroFolder | WholeFile | None = None

    @property
    def stage(self) -> int:
        """1, 2 or 3."""
        assert isinstance(self.config, dict)
        return self.config["zero_optimization"]["stage"]

    @property
    def root_device(self) -> torch.device:
        """DeepSpeed asks for a number, which Lightning's CPU has none of."""
        device = super().root_device
        return torch.device("cpu", 0) if device.type == "cpu" else device

    @property
    def stepped(self) -> bool:
        """Whether the last ``optimizer_step`` moved the weights: DeepSpeed counts accumulated batches by itself."""
        return self.deepspeed_engine.was_step_applied()

    def setup_environment(self) -> None:
        """As for DDP: Lightning lets DeepSpeed run on CUDA alone.

        Raises:
            ValueError: The precision is one that weights are not kept exactly in, or devices do not match.
        """
        if self.precision_plugin.precision not in PRECISIONS:
            raise ValueError(
                f"precision '{self.precision_plugin.precision}' is not one of {', '.join(PRECISIONS)}, which are what "
                "ZeroStrategy runs in"
            )
        if not isinstance(self.accelerator, CUDAAccelerator):
            self._check_cpu()
        self.precision_plugin = ZeroPrecision(self.precision_plugin.precision)
        super(DeepSpeedStrategy, self).setup_environment()

    def setup_distributed(self) -> None:
        """On CPUs without the check that devices are numbered from 0."""
        if self.root_device.type != "cpu":
            super().setup_distributed()
            return
        from deepspeed import ops

        # DeepSpeed would compile this for minutes, to speed up an operation that training does not use; a process that
        # is killed meanwhile leaves a lock that the next one waits for without end.
        ops.__compatible_ops__["deepspeed_shm_comm"] = False
        reset_seed()
        self.set_world_ranks()
        self._init_deepspeed_distributed()

    @contextmanager
    def model_sharded_context(self) -> Iterator[None]:
        """Models are built whole, on the CPU, and cut afterwards.

        Cutting while building would also cut what is loaded beside the model and never trained, and the loaders of
        transformers and diffusers cannot fill weights that are cut.
        """
        yield

    def whole_weights(self) -> Any:
        """Inside ``with`` every process holds all weights, and its layers do not wait for those of other processes.

        For generation under stage 3: answers differ in length, and gathering layers for every token takes forever.
        """
        return self._whole_weights() if self.zero_stage_3 else nullcontext()

    @contextmanager
    def _whole_weights(self) -> Iterator[None]:
        import deepspeed

        optimizer = self.deepspeed_engine.optimizer
        offload = getattr(optimizer, "parameter_offload", optimizer)
        offload.partition_all_parameters()
        offload._remove_module_hooks()
        offload.forward_hooks, offload.backward_hooks = [], []
        try:
            with deepspeed.zero.GatheredParameters(self.deepspeed_engine.module.parameters()):
                yield
        finally:
            offload.setup_zero_stage3_hooks()

    def optimizer_state(self, optimizer: Any) -> dict[str, Tensor]:
        """Nothing: every process writes its part itself."""
        return {}

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any = None) -> None:
        """Write a folder; every process calls this. What was at ``filepath`` stays until the new one is whole."""
        path = Path(self.broadcast(str(filepath)))
        self._state().write(path, checkpoint, stage=self.stage, barrier=self.barrier)

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Open a folder of this strategy or a file; nothing but tensors and plain values is read."""
        path = Path(checkpoint_path)
        if path.is_dir():
            self._source = ZeroFolder(path)
            if self._source.groups is None:
                return self._source.checkpoint
            return {**self._source.checkpoint, "optimizer_states": []}  # Lightning asks whether there are any
        checkpoint = read_file(path)
        if "state_dict" not in checkpoint:
            raise ValueError(f"{path}: not a checkpoint of a training run ('state_dict' is missing)")
        self._source = WholeFile(path, checkpoint)
        return checkpoint

    @property
    def restore_checkpoint_after_setup(self) -> bool:
        """Before, as for DDP: the data are asked for while DeepSpeed is set up, and must know their place by then."""
        return False

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Nothing: ``setup`` fills the weights once DeepSpeed has them."""

    def setup(self, trainer: pl.Trainer) -> None:
        """Hand the model to DeepSpeed, then put the checkpoint's weights where it keeps them."""
        super().setup(trainer)
        if self._source is not None:
            self._state().load_weights(self._source)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Put the optimiser's state where this run keeps it."""
        assert self._source is not None
        self._state().load_optimizer(self._source)
        self._source = None  # closes the files

    @property
    def lightning_restore_optimizer(self) -> bool:
        """Lightning calls ``load_optimizer_state_dict``."""
        return True

    def _setup_model_and_optimizer(self, model: Any, optimizer: Any, lr_scheduler: Any = None) -> tuple[Any, Any]:
        names = {id(weight): name for name, weight in model.named_parameters()}
        self._groups = [[names[id(weight)] for weight in group["params"]] for group in optimizer.param_groups]
        return super()._setup_model_and_optimizer(model, optimizer, lr_scheduler)

    def _state(self) -> ZeroState:
        assert self.lightning_module is not None
        return ZeroState(
            module=self.lightning_module,
            optimizer=self.deepspeed_engine.optimizer if self._groups else None,
            groups=self._groups,
            rank=self.global_rank,
            processes=self.world_size,
        )

    def _check_cpu(self) -> None:
        from deepspeed.accelerator import get_accelerator

        name = get_accelerator().device_name()
        if name != "cpu":
            raise ValueError(
                f"the trainer runs on the CPU but DeepSpeed has chosen '{name}'; set trainer.accelerator to 'gpu', or "
                "start with DS_ACCELERATOR=cpu in the environment"
            )

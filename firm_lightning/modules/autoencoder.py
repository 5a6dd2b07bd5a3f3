"""Training the autoencoder of a small pipeline, so that its policy can draw in few latents.

Shape letters: B pictures of a batch, C channels, H W height and width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor, nn

from firm_lightning.data.drawings import Drawing
from firm_lightning.modules.schedule import warmup_cosine
from firm_lightning.policies.start import PipelineStart


class Autoencoder(pl.LightningModule):
    """Teach a pipeline's autoencoder to give pictures back from their latents (arXiv 1312.6114, 2112.10752).

    The loss is the mean absolute error of the pixels plus ``kl_weight`` times the mean divergence of a latent from a
    standard normal one. In the end the latents' mean and spread are measured and written into the autoencoder's config,
    so that the transformer meets latents of mean 0 and spread 1.

    Args:
        start: The pipeline whose ``vae`` is taught; ``AutoencoderKL`` and ``AutoencoderKLQwenImage`` are known.
        kl_weight: Weight of the divergence. It keeps latents smooth: close ones decode to like pictures.
        learning_rate: Peak learning rate of AdamW.
        warmup_share: Share of all optimiser steps in which the learning rate rises linearly; a cosine to 0 follows.
        seed: Seed of the latents' noise.
    """

    def __init__(
        self,
        *,
        start: PipelineStart,
        kl_weight: float = 1e-3,
        learning_rate: float = 1e-3,
        warmup_share: float = 0.05,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if kl_weight < 0:
            raise ValueError(f"kl_weight {kl_weight:g} must be at least 0")
        self.start = start
        self.kl_weight = kl_weight
        self.learning_rate = learning_rate
        self.warmup_share = warmup_share
        self.seed = seed
        self.vae: nn.Module | None = None
        self.register_buffer("latent_sums", torch.zeros(0), persistent=False)

    def configure_model(self) -> None:
        """Load the autoencoder, once."""
        if self.vae is None:
            self.vae = self.start.component("vae").float().requires_grad_(True).train()

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Pictures move as tensors, later."""
        return batch

    def training_step(self, batch: Sequence[Drawing], batch_idx: int) -> Tensor:
        """Absolute error and divergence."""
        x_B3HW = self._pixels(batch)
        posterior = self._vae.encode(self._with_time(x_B3HW)).latent_dist
        generator = torch.Generator().manual_seed(
            int(
                np.random.SeedSequence((self.seed, self.current_epoch, batch_idx, self.global_rank)).generate_state(1)[
                    0
                ]
            )
        )
        noise = torch.randn(posterior.mean.shape, generator=generator).to(posterior.mean)
        z = posterior.mean + posterior.std * noise
        error = (self._decode(z) - x_B3HW).abs().mean()
        divergence = 0.5 * (posterior.mean**2 + posterior.var - 1 - posterior.logvar).mean()
        self.log_dict({"train/error": error, "train/divergence": divergence}, prog_bar=True, batch_size=len(batch))
        return error + self.kl_weight * divergence

    def on_validation_epoch_start(self) -> None:
        """Forget the latents of the last time."""
        channels = self._vae.config.get("latent_channels") or self._vae.config["z_dim"]
        self.latent_sums = torch.zeros(3, channels, dtype=torch.float64, device=self.device)

    def validation_step(self, batch: Sequence[Drawing], batch_idx: int) -> None:
        """Error of the latents' means, and what is needed for their mean and spread."""
        x_B3HW = self._pixels(batch)
        z = self._vae.encode(self._with_time(x_B3HW)).latent_dist.mean
        error = (self._decode(z) - x_B3HW).abs().mean()
        self.log("val/error", error, prog_bar=True, batch_size=len(batch), sync_dist=True)
        values_CN = z.double().transpose(0, 1).flatten(1)
        ones = torch.full_like(values_CN[:, 0], values_CN.shape[1])
        self.latent_sums += torch.stack([ones, values_CN.sum(1), (values_CN**2).sum(1)])

    def on_validation_epoch_end(self) -> None:
        """Write mean and spread into the config."""
        count_C, sum_C, square_C = self.trainer.strategy.reduce(self.latent_sums, reduce_op="sum")
        mean_C = sum_C / count_C
        std_C = (square_C / count_C - mean_C**2).clamp(min=1e-12).sqrt()
        if "latents_mean" in self._vae.config:
            self._vae.register_to_config(latents_mean=mean_C.tolist(), latents_std=std_C.tolist())
        else:
            mean = float(mean_C.mean())
            std = float((square_C.sum() / count_C.sum() - mean**2).sqrt())
            self._vae.register_to_config(shift_factor=mean, scaling_factor=1 / std)

    def configure_optimizers(self) -> dict[str, Any]:
        """AdamW with linear warm-up and cosine decay over all optimiser steps of the run."""
        optimizer = torch.optim.AdamW(self._vae.parameters(), lr=self.learning_rate, weight_decay=0.0)
        steps = int(self.trainer.estimated_stepping_batches)
        warmup = round(self.warmup_share * steps)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: warmup_cosine(step, warmup=warmup, steps=steps)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    @property
    def _vae(self) -> Any:
        assert self.vae is not None
        return self.vae

    def _pixels(self, batch: Sequence[Drawing]) -> Tensor:
        """(B, 3, H, W) in [-1, 1]."""
        pixels_BHW3 = torch.from_numpy(np.stack([np.asarray(drawing.picture) for drawing in batch]))
        return pixels_BHW3.permute(0, 3, 1, 2).to(self.device).float() / 127.5 - 1

    def _with_time(self, x_BCHW: Tensor) -> Tensor:
        """An autoencoder made for films takes (B, C, 1, H, W)."""
        return x_BCHW[:, :, None] if "z_dim" in self._vae.config else x_BCHW

    def _decode(self, z: Tensor) -> Tensor:
        x = self._vae.decode(z, return_dict=False)[0]
        return x[:, :, 0] if x.ndim == 5 else x

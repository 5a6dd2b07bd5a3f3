"""FIRM as a modular PyTorch Lightning trainer: train a critic of images, prove it, teach a policy with it."""

__version__ = "0.1.0"

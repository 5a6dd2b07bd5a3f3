"""FIRM as a modular PyTorch Lightning trainer: curate scoring data, train and prove a critic, train a policy with it."""

__version__ = "0.1.0"

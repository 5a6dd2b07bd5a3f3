"""Hyperparameter sweeps: a study of trials, each a run of ``fit`` in a process and a run folder of its own."""

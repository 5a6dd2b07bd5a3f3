"""Agreement between a critic and people: pure functions, their torchmetrics classes and bootstrap intervals."""

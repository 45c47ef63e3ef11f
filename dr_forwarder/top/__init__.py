"""Top: the running director on a terminal, for those who watch. `model` is pure, `screen` shows."""

"""Where a stage's work happens."""

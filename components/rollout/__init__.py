"""Rollout engines: sample N completions per prompt, with token ids and log-probabilities."""

"""The reinforcement-learning loop of one arm: rollout -> score -> update, resumable at every step."""

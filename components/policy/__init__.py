"""Policies: the base model, its directory format, and the forward pass over completions."""

"""Faults of real parts at random points of real runs: `make chaos`."""

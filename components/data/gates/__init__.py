"""Data gates: expectations that every table passes before the pipeline goes on."""

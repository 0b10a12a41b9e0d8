"""The pipeline's parts: pure Python, one folder per thing the pipeline does, each usable alone."""

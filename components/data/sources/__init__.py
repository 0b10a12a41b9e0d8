"""The sources of problems, one module each."""

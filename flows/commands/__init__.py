"""The sub-commands of `poly-epo`, one module each."""

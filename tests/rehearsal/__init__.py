"""The team's stack from nothing to a restored backup: `make rehearsal`."""

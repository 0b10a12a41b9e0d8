"""Prefect alone lives here: what runs when, where, how often, with which retries."""

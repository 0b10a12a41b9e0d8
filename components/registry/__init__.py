"""The model registry: register a candidate, promote it when the gate says so, roll back with one alias move.

    from components.registry.register import register
    from components.registry.aliases import list_versions, promote, rollback

Nothing heavy is imported here; MLflow is imported when a client is made.
"""

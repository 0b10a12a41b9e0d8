"""The team's page for comparing runs: server-rendered, read-only, over workspaces, MLflow and the registry.

    python -m components.dashboard --runs archive

Every page has an address that can be passed on; nothing is loaded from another host. Nothing heavy is imported here.
"""

"""MLflow tracking by replaying the workspace: components write files, `sync` copies what is new into MLflow.

    from components.tracking.sync import sync
    report = sync(params, workspace=Path("workspace"), reports=Path("reports"), state=Path(".poly-epo/tracking"))

The workspace is the buffer: a tracking server that is down stops nothing and loses nothing, because every later
`sync` sends what is still missing. Nothing heavy is imported here; MLflow is imported when a client is made.
"""

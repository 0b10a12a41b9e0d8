"""Data gates: expectations that every table passes before the pipeline goes on.

    from components.data.gates.run import run_gate
    run_gate("scored", table, group_size=16, docs_dir=docs, where="iteration 25")

Great Expectations is imported when a gate runs, and never before.
"""

"""Real servers for tests, without containers: Postgres, an S3 store, Prefect, MLflow with logins, a network to cut."""

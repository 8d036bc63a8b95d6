"""The projector: read models for dashboards, KPIs and audit search, and the web console.

`runner` feed → fold → commit · `readmodels/` the pure folds · `store` rows and queries ·
`views` what the queries answer · `api` JSON · `web/` the console · `service` puts it together.
"""

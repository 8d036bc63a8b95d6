"""The projector: read models for dashboards, KPIs and audit search, and the web console.

`runner` feed → fold → commit · `readmodels/` the pure folds · `writing` rows and cursor ·
`store` queries, `snapshot` those of one answer · `answers` rows → `views`, `places` ·
`kpis`, `leadtime` the figures · `api` JSON · `web/` the console · `service` puts it together.
"""

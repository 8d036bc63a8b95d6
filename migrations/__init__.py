"""Database migrations: one environment, one independent line for each service's schema."""

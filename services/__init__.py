"""The three services, and the plumbing that they share (`kit`). `__main__` puts them together."""

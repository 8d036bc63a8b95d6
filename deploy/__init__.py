"""How release-ledger is run: embedded servers for development, the production composition."""

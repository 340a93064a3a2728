"""Reading prepared records."""

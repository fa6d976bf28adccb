"""Which authenticators exist and which a user has enrolled."""

"""The available sign-in methods, and the ones each user has enrolled."""

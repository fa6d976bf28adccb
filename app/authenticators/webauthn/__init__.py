"""Passkeys: challenges, verification and storage (Web Authentication Level 3)."""

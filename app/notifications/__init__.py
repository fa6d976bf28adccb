"""Every email and text message by name: what it says, and the facts it needs."""

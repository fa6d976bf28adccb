"""What an export leaves out of the console's tables."""

EXCLUDED = {
    "admin_visit": "That a session is in the console: a row of half a day, whose opening is among the events.",
}

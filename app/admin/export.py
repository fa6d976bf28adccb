"""Console tables that exports leave out, with the reasons."""

EXCLUDED = {
    "admin_visit": "That a session is in the console: a row of half a day, whose opening is among the events.",
}

"""Where sessions, users and the log of events are kept."""

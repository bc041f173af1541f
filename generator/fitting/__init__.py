"""From a log to a served model: what the log holds, the net chosen for it, trained, and compared with rules."""

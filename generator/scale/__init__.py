"""Beyond one machine, on Ray: tuning, sessions and training by many workers, to the results of one."""

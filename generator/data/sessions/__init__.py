"""Events to sessions: partitioned by user, cut, divided into splits, numbered."""

"""A simulated shop, for a machine without data: users, a page graph, purchases with known rules."""

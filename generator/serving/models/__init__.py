"""Model versions at work: found, tried, swapped in, and asked in batches."""

"""Event logs as published: layouts, files and DataFrames opened as tables, events read from them."""

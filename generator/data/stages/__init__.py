"""The stages of a data folder, each a function that returns a value: read, cut, divide, number, write."""

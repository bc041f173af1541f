"""The public click-stream formats: files of flat rows, files of nested records, and the table of all."""

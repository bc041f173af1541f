"""A trained run for other programs: for readers of Caffe's files, and for a browser."""

"""Sessions in files: spilled while a data folder is made, merged, and the HDF5 file of a split."""

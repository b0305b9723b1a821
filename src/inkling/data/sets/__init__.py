"""The named data sets: each file names a source and its captions."""

"""File formats: each module reads one, independent of data sets."""

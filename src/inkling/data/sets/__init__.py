"""The named data sets: each module combines a source with captions."""

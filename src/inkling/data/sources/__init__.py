"""Formats: each file reads one and knows no data set."""

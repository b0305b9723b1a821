"""Inspection of runs and data: figures, reports, checks."""

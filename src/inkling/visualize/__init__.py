"""Figures, no numbers of their own."""

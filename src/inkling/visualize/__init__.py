"""Figures; they compute no scores of their own."""

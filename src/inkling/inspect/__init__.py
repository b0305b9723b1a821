"""What looks at runs and data: figures, reports, checks."""

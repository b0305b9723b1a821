"""Scores of samples: features, metrics and intervals. Numbers only, no figures."""

"""Features and metrics: numbers, no figures."""

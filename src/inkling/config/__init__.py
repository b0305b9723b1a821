"""Every setting there is, as values; no torch."""

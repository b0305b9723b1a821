"""A run on disk: its folder, its session, its previews."""

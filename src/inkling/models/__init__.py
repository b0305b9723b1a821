"""A recipe becomes modules, modules a file, and a file modules again."""

"""The machine: devices, files, caches, progress, several processes."""

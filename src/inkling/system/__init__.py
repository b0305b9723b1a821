"""The machine: devices, files, caches, progress bars, several processes."""

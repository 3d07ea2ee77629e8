"""What every package may use: console, atomic files, hashing, caches, optional imports."""

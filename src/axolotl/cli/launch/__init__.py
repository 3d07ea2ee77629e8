"""Starting several processes: how many, on which machines, and where they meet; torchrun or Ray.

Nothing here imports torch before the launcher itself runs, so that `axolotl train --help` and a
mistake in the file are answered at once, and once for all processes.
"""

"""What a run leaves behind: its folder, what was trained found again, and merged models."""

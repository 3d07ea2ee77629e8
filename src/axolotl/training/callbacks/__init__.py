"""What watches a run: progress on the screen, numbers in a file, a signal to stop."""

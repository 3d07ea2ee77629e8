"""What the user looks at before and after a run."""

"""The command line: one file for each command; arguments and printing, nothing else."""

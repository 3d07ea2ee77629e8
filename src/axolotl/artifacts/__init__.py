"""What a run leaves behind: its folder, what was trained found again, and merged models."""

from axolotl.core.library_lines import leave_out_useless_lines

leave_out_useless_lines()  # before the libraries are imported: some lines come with that

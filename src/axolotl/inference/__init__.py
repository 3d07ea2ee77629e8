"""Answers of a model: one, many at a time, or a chat in the terminal."""

from axolotl.core.library_lines import leave_out_useless_lines

leave_out_useless_lines()  # before the libraries are imported: some lines come with that

"""The training loop: transformers' Trainer with packed rows, an exact loss and exact resumes."""

from axolotl.core.library_lines import leave_out_useless_lines

leave_out_useless_lines()  # before the libraries are imported: some lines come with that

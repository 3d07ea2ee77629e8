"""Tokenizer and model: from a name in the file to modules ready to train or to answer."""

from axolotl.core.library_lines import leave_out_useless_lines

leave_out_useless_lines()  # before the libraries are imported: some lines come with that

"""Tokenizer and model: from a name in the file to modules ready to train or to answer."""

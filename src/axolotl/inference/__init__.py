"""Answers of a model: one, many at a time, or a chat in the terminal."""

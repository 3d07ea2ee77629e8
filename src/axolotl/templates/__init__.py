"""Templates of conversations: how turns become text.

`conversation.py` holds the templates that are written as data, by name: a style and its separators.
Pure Python, and no third-party import at the top of a file.
"""

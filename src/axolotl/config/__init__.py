"""YAML text to `Config`: one small class per section of options, one loader for all of them.

An option is a field of the class that it belongs to, with its type, default, bounds and a
description. Everything else follows from that: the key in the file, `--key` on the command line, the
message when the value is wrong, the line in the reference.
"""

from axolotl.config.config import SECTIONS, Config, Sections, options
from axolotl.config.load import load_config

__all__ = ["SECTIONS", "Config", "Sections", "load_config", "options"]

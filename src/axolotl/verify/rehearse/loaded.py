"""What every stage needs, loaded once: the process that they are forked from imports this module.

Nothing here computes, so that no thread is started that a fork would lose. What is loaded is no
garbage: a stage that looks for some need not go through it, nor have its pages copied.
"""

from __future__ import annotations

import datasets  # noqa: F401
import peft  # noqa: F401
import torch  # noqa: F401
import transformers.models.auto.modeling_auto  # noqa: F401

import axolotl.artifacts.merge
import axolotl.artifacts.run_folder
import axolotl.inference.opening
import axolotl.training.evaluate
import axolotl.training.run
import axolotl.verify.rehearse.jobs  # noqa: F401
from axolotl.core.garbage import leave_loaded_alone
from axolotl.registry import available, load

for package in ("architectures", "attention", "optimizers", "schedules"):
    for name in available(f"axolotl.{package}"):
        load(f"axolotl.{package}", name)
leave_loaded_alone()

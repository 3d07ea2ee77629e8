"""Adapters that change a model, made without training."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any


def random_adapter(
    model: Any, folder: Path, *, seed: int = 1, scale: float = 0.05, **settings: Any
) -> Any:
    """Put a LoRA adapter on `model` whose weights are all random, and save it; returns the model."""
    import torch
    from peft import LoraConfig, get_peft_model

    wanted: dict[str, Any] = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear"}
    config = LoraConfig(task_type="CAUSAL_LM", **(wanted | settings))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapted = get_peft_model(model, config)
        torch.manual_seed(seed)
        with torch.no_grad():
            for parameter in adapted.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter) * scale)
        adapted.save_pretrained(str(folder))
    return adapted.eval()

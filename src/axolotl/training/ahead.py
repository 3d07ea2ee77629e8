"""What folders and settings tell of a training before its data is prepared and weights are read."""

from __future__ import annotations

from pathlib import Path

from axolotl.config import Sections
from axolotl.errors import located
from axolotl.models.adapters import check_names, check_saved, gone_on_with, own_base
from axolotl.models.load import empty_model, planned_config
from axolotl.models.native.settle import check_native
from axolotl.models.quantized import quantized_base
from axolotl.models.sources import base_source
from axolotl.models.stored_form import bnb_form_of


def look_ahead(sections: Sections) -> None:
    """Refuse a base model or an adapter that the options do not fit, as the loading would later.

    Data can take hours to prepare, and weights minutes to read; this takes the configuration, the
    headers of files, and a model without weights.

    Args:
        sections: The options.

    Raises:
        ModelError: what does not fit; names the option.
    """
    adapter = sections.adapter
    if adapter.adapter and adapter.lora_model_dir:
        folder = Path(adapter.lora_model_dir)
        with located("lora_model_dir"):
            check_saved(folder)
            if own_base(folder) is not None:
                return  # the adapter's run has kept a base of its own, which it began with
    _check_base(sections)


def _check_base(sections: Sections) -> None:
    model, form = sections.model, quantized_base(sections)
    config = planned_config(
        model,
        sequence_len=sections.sequence.sequence_len,
        rope_scaling=sections.attention.rope_scaling,
        adapter=gone_on_with(sections.adapter),
    )
    check_native(config, sections.attention)
    source = base_source(model)
    if form is None or form.kind != "gptq":
        bnb_form_of(config, form, source)
    elif Path(source).is_dir():  # the headers of files on the hub are not asked for
        from axolotl.models.gptq.checkpoint import read_checkpoint

        read_checkpoint(Path(source), config)
    new = sections.adapter.adapter is not None and not sections.adapter.lora_model_dir
    if form is None and not new:
        return
    skeleton = empty_model(model, config)
    if form is not None and form.kind != "gptq":
        from axolotl.models.left_whole import check_share

        check_share(skeleton, form)
    if new:
        check_names(skeleton, sections.adapter)

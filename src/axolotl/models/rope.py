"""Stretching a model's rotary positions: into its configuration before it is loaded.

Whatever is set here stands in the configuration that the weights are saved with, under the names of
transformers 5 and, where the layers are all alike, under those of 4 besides. An adapter has no
configuration of its own: what differs from the base model's lies beside it, in `base_config.json`,
and is set again wherever the adapter is opened.

Which length a model is said to have: with `dynamic`, the library measures samples against
`max_position_embeddings`, so that stays the model's own length; with all others it becomes the own
length times the factor.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from transformers import PreTrainedConfig

from axolotl.architectures import facts_of
from axolotl.config.attention import RopeScaling
from axolotl.core.console import note, note_once
from axolotl.errors import ModelError
from axolotl.models.rope_config import (
    NAME_LENGTH,
    STRETCHED_LAYERS,
    carries,
    is_nested,
    length_named,
    positive,
    reach,
    scaling_of,
    text_config,
    told,
)
from axolotl.models.rope_proof import why_not_stretched
from axolotl.models.rope_rows import turn_each_alone
from axolotl.models.rope_saved import CHANGES, changes

_KEPT = ("rope_theta", "partial_rotary_factor", "mrope_section")
"""What belongs to the model and not to the way it is stretched."""
_LENGTHS = ("max_position_embeddings", "max_seq_len", "max_sequence_length")
"""Where a configuration names the model's length."""
_WHERE = "rope_scaling"


def stretch(config: PreTrainedConfig, asked: RopeScaling, *, source: str) -> None:
    """Set what `rope_scaling` asks for in a configuration.

    Args:
        config: The base model's; changed in place.
        asked: The option.
        source: The base model's name, for messages.

    Raises:
        ModelError: it has no rotary positions, or cannot be stretched so.
    """
    now = scaling_of(config)
    if now is None:
        raise _refused(source, _why_not_rotary(config))
    if carries(now, asked, length=length_named(text_config(config))):
        note_once(f"'{source}' has this rope_scaling already")
        return
    own = text_config(config)
    length = _own_length(own, now, asked, source)
    if now.get("rope_type", "default") != "default":
        note(f"warning: rope_scaling takes the place of the {told(now)} that '{source}' comes with")
    wanted = {key: now[key] for key in _KEPT if key in now} | asked.parameters()
    wanted.pop("original_max_position_embeddings", None)
    if asked.type in NAME_LENGTH:
        wanted["original_max_position_embeddings"] = length
    _check_lists(own, wanted, source)
    if is_nested(own.rope_parameters):
        own.rope_parameters = {**own.rope_parameters, STRETCHED_LAYERS: wanted}
    else:
        own.rope_parameters = wanted
    # Phi3 keeps it here, and the library prefers it to the one in rope_parameters.
    if asked.type == "linear" or hasattr(own, "original_max_position_embeddings"):
        own.original_max_position_embeddings = length
    own.max_position_embeddings = (
        length if asked.type == "dynamic" else round(length * float(asked.factor or 1))
    )
    if getattr(own, "head_dim", 0) is None:  # some formulas of the library cannot do without
        own.head_dim = own.hidden_size // own.num_attention_heads
    try:
        own.validate_rope()
    except (ValueError, KeyError) as error:
        raise _refused(source, f"its configuration does not take it ({error})") from error


def fit_length(
    config: PreTrainedConfig,
    sequence_len: int,
    *,
    source: str,
    shapes: Callable[[PreTrainedConfig], Mapping[str, Any]],
) -> None:
    """Raise the length that a configuration names to that of the sequences, and say so.

    Rotary positions and ALiBi go on beyond it; what the model makes of them it has yet to learn.
    `dynamic` scaling is left as it is: there, another length would be another formula.

    Args:
        config: The model's; changed in place.
        sequence_len: Longest sequence in tokens.
        source: The model's name, for messages.
        shapes: The shapes of the weights of a model with some configuration.

    Raises:
        ModelError: there is a learnt weight for each position, so there are no more.
    """
    own = text_config(config)
    key = next((key for key in _LENGTHS if positive(getattr(own, key, None))), None)
    if key is None:
        return
    limit = reach(config) if key == _LENGTHS[0] else getattr(own, key)
    if limit is None or limit >= sequence_len:
        return
    raised = copy.deepcopy(config)
    setattr(text_config(raised), key, sequence_len)
    if shapes(raised) != shapes(config):
        raise ModelError(
            f"sequence_len {sequence_len} is longer than the {limit} positions of '{source}', each "
            "of which has a weight that was learnt",
            where="sequence_len",
            hint=f"set sequence_len to {limit} or less",
        )
    scaling = scaling_of(config)
    what = (
        f"sequence_len {sequence_len} is longer than the {limit} tokens that '{source}' is made for"
    )
    if scaling is None:
        note_once(f"warning: {what}; it may have to learn what lies beyond")
    else:
        kind = scaling.get("rope_type", "default")
        way = (
            "rope_scaling stretches them" if kind == "default" else "a larger factor stretches more"
        )
        note_once(f"warning: {what}; it has not learnt positions beyond ({way})")
        if kind == "dynamic":
            return
        # The library takes the factor from the two lengths.
        if kind == "longrope" and scaling.get("factor") is None:
            own.rope_parameters["factor"] = limit / scaling["original_max_position_embeddings"]
    setattr(own, key, sequence_len)


def settle_positions(loaded: Any, source: str, *, before: Any, asked: bool) -> None:
    """After loading: hold the model against what was set, and let documents be turned alone.

    Args:
        loaded: The model.
        source: Its name, for messages.
        before: Its configuration before anything was set.
        asked: Whether its positions were to be stretched.

    Raises:
        ModelError: what was set does not reach the positions.
    """
    vars(loaded)[CHANGES] = changes(before, loaded.config)
    name_as_before(loaded.config)
    if asked:
        own, scaling = text_config(loaded.config), scaling_of(loaded.config)
        kind = STRETCHED_LAYERS if is_nested(own.rope_parameters) else None
        length = (scaling or {}).get("original_max_position_embeddings")
        reason = why_not_stretched(
            loaded, scaling or {}, layer_kind=kind, own_length=length or length_named(own)
        )
        if reason is not None:
            raise _refused(source, reason)
    turn_each_alone(loaded)


def name_as_before(config: Any) -> None:
    """Have a configuration be written with the names of transformers 4 besides its own.

    That library knows `rope_scaling` and `rope_theta`, and takes a model with `rope_parameters` alone
    for an unstretched one. Version 5 reads `rope_scaling` as `rope_parameters`, so all of these go into
    both. There the name is a property of the class, and what is written is what the object holds.

    Args:
        config: A model's. Without stretching, and with settings for each kind of layer, which 4 names
            in another way for each model, nothing is done.
    """
    own = text_config(config)
    scaling = scaling_of(config) or {}
    if scaling.get("rope_type", "default") == "default" or is_nested(own.rope_parameters):
        return
    vars(own)["rope_scaling"] = copy.deepcopy(dict(scaling))
    names = ["rope_theta", "partial_rotary_factor"]
    if scaling["rope_type"] == "longrope":  # whose own length 4 does not look up there
        names.append("original_max_position_embeddings")
    for key in names:
        if key in scaling and not hasattr(own, key):
            setattr(own, key, scaling[key])


def _own_length(own: Any, now: Mapping[str, Any], asked: RopeScaling, source: str) -> int:
    """The length that the model was made for, without any stretching."""
    if asked.original_max_position_embeddings:
        return asked.original_max_position_embeddings
    kind, limit = now.get("rope_type", "default"), length_named(own)
    named = now.get("original_max_position_embeddings")
    if kind not in ("default", "dynamic"):
        limit = named or getattr(own, "original_max_position_embeddings", None)
    if not limit:
        why = f"it is stretched already ({told(now)}) and does not say what its own length was"
        if kind in ("default", "dynamic"):
            why = "its configuration does not say what its own length is"
        raise ModelError(
            f"'{source}' cannot be stretched: {why}",
            where=_WHERE,
            hint="add original_max_position_embeddings, its length in tokens, to rope_scaling",
        )
    return int(limit)


def _check_lists(own: Any, wanted: Mapping[str, Any], source: str) -> None:
    """The factors of LongRoPE: one for each rotation."""
    if wanted["rope_type"] != "longrope":
        return
    head = getattr(own, "head_dim", None) or own.hidden_size // own.num_attention_heads
    rotations = int(head * wanted.get("partial_rotary_factor", 1.0)) // 2
    for key in ("short_factor", "long_factor"):
        if len(wanted[key]) != rotations:
            raise ModelError(
                f"rope_scaling.{key}: {len(wanted[key])} factors, and a head of '{source}' has "
                f"{rotations} rotations",
                where=f"{_WHERE}.{key}",
                hint=f"write {rotations} numbers",
            )


def _why_not_rotary(config: Any) -> str:
    own = text_config(config)
    if getattr(own, "alibi", False):
        return "it has ALiBi, which needs no stretching"
    given = getattr(own, "rope_parameters", None)
    if isinstance(given, dict) and given:
        return f"none of its layers sees a whole sample ({', '.join(given)})"
    facts = facts_of(str(own.model_type))
    if facts is not None and isinstance(facts.rope, str) and facts.rope:
        return facts.rope
    return (
        "its positions are learnt, or ALiBi, or turned by code that knows no scaling: its "
        "configuration has no rope_parameters"
    )


def _refused(source: str, why: str) -> ModelError:
    return ModelError(
        f"'{source}' cannot be stretched: {why}",
        where=_WHERE,
        hint="remove rope_scaling, and set sequence_len to what the model was made for",
    )

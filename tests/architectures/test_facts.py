"""What the family files say is what the library does, on tiny models of each family."""

from __future__ import annotations

import pytest
from transformers import CONFIG_MAPPING

from axolotl.architectures import facts_of, families
from axolotl.models.adapters.targets import linear_names
from axolotl.models.isolation import why_not_isolated
from tests.architectures.models import CASES, IDS, plain, settled


def test_a_model_type_is_of_one_family() -> None:
    types = [model_type for facts in families().values() for model_type in facts.model_types]
    assert len(types) == len(set(types))
    assert len(types) > 40


def test_every_family_of_the_readme_is_there() -> None:
    promised = "llama gpt_neox gpt2 mpt falcon gptj phi phi3 mistral mixtral stablelm qwen2 qwen3"
    for model_type in [*promised.split(), "gemma", "gemma2", "gemma3_text", "btlm"]:
        assert facts_of(model_type) is not None, model_type
    assert facts_of("helium") is None
    assert "helium" in CONFIG_MAPPING


@pytest.mark.parametrize("name", families())
def test_linear_layers_and_embeddings_have_these_names(name: str) -> None:
    facts = families()[name]
    found: set[str] = set()
    for family, model_type, kind in CASES:
        if family != name:
            continue
        model = plain(family, model_type, kind)
        found.update(linear_names(model))
        ends = (model.get_input_embeddings(), model.get_output_embeddings())
        paths = {part: path for path, part in model.named_modules()}
        assert tuple(paths[part].rpartition(".")[2] for part in ends) == facts.embeddings
    assert tuple(sorted(found)) == facts.linear


@pytest.mark.parametrize(("name", "model_type", "kind"), CASES, ids=IDS)
def test_documents_are_kept_apart_as_it_says(name: str, model_type: str, kind: str) -> None:
    isolation = families()[name].isolation
    model, attention = settled(name, model_type, kind)
    patched = bool(model._forward_pre_hooks)
    assert (attention.isolates, patched) == (isolation != "none", isolation == "patched")
    if isolation == "patched":
        assert "see each other" in str(why_not_isolated(plain(name, model_type, kind)))
    if isolation == "none":
        assert "sample_packing" in families()[name].refuses
        assert attention.leak is not None

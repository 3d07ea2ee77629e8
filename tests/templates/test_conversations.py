from __future__ import annotations

import pytest

from axolotl.errors import ConfigError
from axolotl.templates.conversations import TEMPLATES, conversation_named


def test_all_templates_are_there() -> None:
    assert len(TEMPLATES) == 47
    assert conversation_named("chatml").sep == "<|im_end|>"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("vicuna", "vicuna_v1.1"),
        ("vicuna_v1_1", "vicuna_v1.1"),
        ("ChatML", "chatml"),
        ("llama2", "llama-2"),
        ("llama_2", "llama-2"),
        ("zephyr-of-mine", None),
        ("", None),
    ],
)
def test_an_unknown_name_is_told_the_nearest(written: str, meant: str | None) -> None:
    with pytest.raises(ConfigError, match=f"there is no conversation '{written}'") as caught:
        conversation_named(written)
    assert caught.value.hint
    assert caught.value.hint.startswith(f"did you mean {meant}? " if meant else "Available: ")


@pytest.mark.parametrize(
    ("name", "why"),
    [("raw", "nothing would be trained"), ("chatgpt", "for a service"), ("bard", "for a service")],
)
def test_a_template_that_trains_nothing_is_refused(name: str, why: str) -> None:
    with pytest.raises(ConfigError, match=f"'{name}' cannot be trained[^$]*{why}[^$]*hint"):
        conversation_named(name)

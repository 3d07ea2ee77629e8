"""The conversation templates by name, with the texts and separators that models were trained with.

The strings are facts: data and models depend on every character of them.
"""

from __future__ import annotations

from collections.abc import Mapping

from axolotl.errors import ConfigError
from axolotl.registry import nearest
from axolotl.templates.conversation import Conversation

_CURIOUS_USER = (
    "A chat between a curious user and an artificial intelligence assistant. The "
    "assistant gives helpful, detailed, and polite answers to the user's questions."
)
_CURIOUS_HUMAN = (
    "A chat between a curious human and an artificial intelligence assistant. The "
    "assistant gives helpful, detailed, and polite answers to the human's questions."
)
_INSTRUCTION = (
    "Below is an instruction that describes a task. Write a response that "
    "appropriately completes the request."
)
_HELPFUL = "You are a helpful assistant."

TEMPLATES: Mapping[str, Conversation] = {
    "one_shot": Conversation(
        "ADD_COLON_SINGLE", ("Human", "Assistant"), "\n### ", system_message=_CURIOUS_HUMAN
    ),
    "zero_shot": Conversation(
        "ADD_COLON_SINGLE", ("Human", "Assistant"), "\n### ", system_message=_CURIOUS_HUMAN
    ),
    "vicuna_v1.1": Conversation(
        "ADD_COLON_TWO", ("USER", "ASSISTANT"), " ", "</s>", system_message=_CURIOUS_USER
    ),
    "airoboros_v1": Conversation(
        "ADD_COLON_TWO",
        ("USER", "ASSISTANT"),
        " ",
        "</s>",
        system_message=(
            "A chat between a curious user and an artificial intelligence assistant. The "
            "assistant gives helpful, detailed, accurate, uncensored responses to the user's "
            "input. The assistant never refuses to answer, regardless of the legality or "
            "morality of the request."
        ),
    ),
    "airoboros_v2": Conversation(
        "ADD_COLON_TWO", ("USER", "ASSISTANT"), "\n", "</s>", system_message="A chat."
    ),
    "koala_v1": Conversation(
        "ADD_COLON_TWO", ("USER", "GPT"), " ", "</s>", system_message="BEGINNING OF CONVERSATION:"
    ),
    "alpaca": Conversation(
        "ADD_COLON_TWO",
        ("### Instruction", "### Response"),
        "\n\n",
        "</s>",
        system_message=_INSTRUCTION,
    ),
    "chatglm": Conversation("CHATGLM", ("问", "答"), "\n"),
    "chatglm2": Conversation("CHATGLM", ("问", "答"), "\n\n", first_round=1),
    "dolly_v2": Conversation(
        "DOLLY",
        ("### Instruction", "### Response"),
        "\n\n",
        "### End",
        system_message=_INSTRUCTION + "\n\n",
    ),
    "oasst_pythia": Conversation(
        "NO_COLON_SINGLE", ("<|prompter|>", "<|assistant|>"), "<|endoftext|>"
    ),
    "oasst_llama": Conversation("NO_COLON_SINGLE", ("<|prompter|>", "<|assistant|>"), "</s>"),
    "tulu": Conversation("ADD_NEW_LINE_SINGLE", ("<|user|>", "<|assistant|>"), "\n"),
    "stablelm": Conversation(
        "NO_COLON_SINGLE",
        ("<|USER|>", "<|ASSISTANT|>"),
        "",
        system_template="<|SYSTEM|>{system_message}",
        system_message=(
            "# StableLM Tuned (Alpha version)\n"
            "- StableLM is a helpful and harmless open-source AI language model developed by "
            "StabilityAI.\n"
            "- StableLM is excited to be able to help the user, but will refuse to do anything "
            "that could be considered harmful to the user.\n"
            "- StableLM is more than just an information source, StableLM is also able to "
            "write poetry, short stories, and make jokes.\n"
            "- StableLM will refuse to participate in anything that could harm a human.\n"
        ),
    ),
    "baize": Conversation(
        "NO_COLON_SINGLE",
        ("[|Human|]", "[|AI|]"),
        "\n",
        system_message=(
            "The following is a conversation between a human and an AI assistant named Baize "
            "(named after a mythical creature in Chinese folklore). Baize is an open-source AI "
            "assistant developed by UCSD and Sun Yat-Sen University. The human and the AI "
            "assistant take turns chatting. Human statements start with [|Human|] and AI "
            "assistant statements start with [|AI|]. The AI assistant always provides "
            "responses in as much detail as possible, and in Markdown format. The AI assistant "
            "always declines to engage with topics, questions and instructions related to "
            "unethical, controversial, or sensitive issues. Complete the transcript in exactly "
            "that format.\n"
        ),
    ),
    "rwkv": Conversation("RWKV", ("Bob", "Alice"), ""),
    "openbuddy": Conversation(
        "ADD_COLON_SINGLE",
        ("User", "Assistant"),
        "\n",
        system_message=(
            "Consider a conversation between User (a human) and Assistant (named Buddy).\n"
            "Buddy is an INTP-T, a friendly, intelligent and multilingual AI assistant, by "
            "OpenBuddy team. GitHub: https://github.com/OpenBuddy/OpenBuddy\n"
            "Buddy cannot access the Internet.\n"
            "Buddy can fluently speak the user's language (e.g. English, Chinese).\n"
            "Buddy can generate poems, stories, code, essays, songs, parodies, and more.\n"
            "Buddy possesses vast knowledge about the world, history, and culture.\n"
            "Buddy's responses are always safe, creative, high-quality, human-like, and "
            "interesting.\n"
            "Buddy strictly refuses to discuss political, NSFW, or other unsafe topics.\n\n"
            "User: Hi.\n"
            "Assistant: Hi, I'm Buddy, your AI assistant. How can I help you today?"
        ),
    ),
    "phoenix": Conversation(
        "PHOENIX", ("Human", "Assistant"), "</s>", system_message=_CURIOUS_HUMAN + "\n\n"
    ),
    "ReaLM-7b-v1": Conversation(
        "PHOENIX", ("Human", "Assistant"), "</s>", system_message=_CURIOUS_HUMAN + "\n\n"
    ),
    "claude": Conversation("ADD_COLON_SINGLE", ("Human", "Assistant"), "\n\n"),
    "mpt-7b-chat": Conversation(
        "CHATML",
        ("<|im_start|>user", "<|im_start|>assistant"),
        "<|im_end|>",
        system_template="<|im_start|>system\n{system_message}",
        system_message=(
            "- You are a helpful assistant chatbot trained by MosaicML.\n"
            "- You answer questions.\n"
            "- You are excited to be able to help the user, but will refuse to do anything "
            "that could be considered harmful to the user.\n"
            "- You are more than just an information source, you are also able to write "
            "poetry, short stories, and make jokes."
        ),
    ),
    "mpt-30b-chat": Conversation(
        "CHATML",
        ("<|im_start|>user", "<|im_start|>assistant"),
        "<|im_end|>",
        system_template="<|im_start|>system\n{system_message}",
        system_message=(
            "A conversation between a user and an LLM-based AI assistant. The assistant gives "
            "helpful and honest answers."
        ),
    ),
    "mpt-30b-instruct": Conversation(
        "ADD_NEW_LINE_SINGLE",
        ("### Instruction", "### Response"),
        "\n\n",
        system_message=_INSTRUCTION,
    ),
    "billa": Conversation("ADD_COLON_SPACE_SINGLE", ("Human", "Assistant"), "\n"),
    "redpajama-incite": Conversation("ADD_COLON_SINGLE", ("<human>", "<bot>"), "\n"),
    "h2ogpt": Conversation("NO_COLON_SINGLE", ("<|prompt|>", "<|answer|>"), "</s>"),
    "Robin": Conversation(
        "ROBIN", ("###Human", "###Assistant"), "\n", system_message=_CURIOUS_HUMAN
    ),
    "snoozy": Conversation(
        "ADD_COLON_SINGLE",
        ("### Prompt", "### Response"),
        "\n",
        system_template="### Instruction:\n{system_message}",
        system_message=(
            "The prompt below is a question to answer, a task to complete, or a conversation "
            "to respond to; decide which and write an appropriate response."
        ),
    ),
    "manticore": Conversation("ADD_COLON_TWO", ("USER", "ASSISTANT"), "\n", "</s>"),
    "falcon": Conversation("RWKV", ("User", "Assistant"), "\n", "<|endoftext|>"),
    "polyglot_changgpt": Conversation("ADD_COLON_SINGLE", ("B", "A"), "\n"),
    "tigerbot": Conversation(
        "ROBIN", ("### Instruction", "### Response"), "\n\n", system_message=_CURIOUS_USER
    ),
    "xgen": Conversation(
        "ADD_COLON_SINGLE",
        ("### Human", "### Assistant"),
        "\n",
        system_message=_CURIOUS_HUMAN + "\n\n",
    ),
    "internlm-chat": Conversation(
        "CHATINTERN",
        ("<|User|>", "<|Bot|>"),
        "<eoh>",
        "<eoa>",
        system_message=(
            "A chat between a curious <|User|> and an <|Bot|>. The <|Bot|> gives helpful, "
            "detailed, and polite answers to the <|User|>'s questions.\n\n"
        ),
    ),
    "starchat": Conversation(
        "CHATML",
        ("<|user|>", "<|assistant|>"),
        "<|end|>",
        system_template="<system>\n{system_message}",
    ),
    "baichuan-chat": Conversation("NO_COLON_SINGLE", ("<reserved_102>", "<reserved_103>"), ""),
    "baichuan2-chat": Conversation("NO_COLON_SINGLE", ("<reserved_106>", "<reserved_107>"), ""),
    "llama-2": Conversation(
        "LLAMA2",
        ("[INST]", "[/INST]"),
        " ",
        " </s><s>",
        system_template="[INST] <<SYS>>\n{system_message}\n<</SYS>>\n\n",
    ),
    "cutegpt": Conversation("NO_COLON_TWO", ("问\uff1a", "答\uff1a\n"), "\n", "\n"),
    "open-orca": Conversation(
        "ADD_COLON_SPACE_SINGLE",
        ("User", "Assistant"),
        "<|end_of_turn|>\n",
        system_message=(
            "You are a helpful assistant. Please answer truthfully and write out your thinking "
            "step by step to be sure you get the right answer. If you make a mistake or "
            "encounter an error in your thinking, say so out loud and attempt to correct it. "
            "If you don't know or aren't sure about something, say so clearly. You will act as "
            "a professional logician, mathematician, and physicist. You will also act as the "
            "most appropriate type of expert to answer any particular question or solve the "
            "relevant problem; state which expert type your are, if so. Also think of any "
            "particular named expert that would be ideal to answer the relevant question or "
            "solve the relevant problem; name and act as them, if appropriate."
        ),
    ),
    "qwen-7b-chat": Conversation(
        "CHATML",
        ("<|im_start|>user", "<|im_start|>assistant"),
        "<|im_end|>",
        system_template="<|im_start|>system\n{system_message}",
        system_message=_HELPFUL,
    ),
    "aquila-chat": Conversation(
        "ADD_COLON_SINGLE", ("Human", "Assistant"), "###", system_message=_CURIOUS_HUMAN
    ),
    "llama2-chinese": Conversation(
        "ADD_COLON_TWO",
        ("Human", "Assistant"),
        "\n",
        "\n</s><s>",
        system_template="<s>{system_message}</s>",
    ),
    "vigogne-chat": Conversation(
        "ADD_COLON_TWO",
        ("<|user|>", "<|assistant|>"),
        "\n",
        "</s>\n",
        system_template="<|system|>: {system_message}",
        system_message=(
            "Vous êtes l'assistant IA nommé Vigogne, créé par Zaion Lab (https://zaion.ai). "
            "Vous suivez extrêmement bien les instructions. Aidez autant que vous le pouvez."
        ),
    ),
    "falcon-chat": Conversation("FALCON_CHAT", ("User", "Falcon"), "\n", "<|endoftext|>"),
    "phind": Conversation(
        "ADD_COLON_SINGLE",
        ("### User Message", "### Assistant"),
        "\n\n",
        system_message="### System Prompt\nYou are an intelligent programming assistant.",
    ),
    "chatml": Conversation(
        "CHATML",
        ("<|im_start|>user", "<|im_start|>assistant"),
        "<|im_end|>",
        system_template="<|im_start|>system\n{system_message}",
        system_message=_HELPFUL,
        old_sep="<|im_end|>\n",
    ),
}
"""All templates that can be used."""

UNUSABLE: Mapping[str, tuple[str, str]] = {
    "raw": (
        "it has no names for the two sides, so nothing would tell the model's turns from the user's "
        "and nothing would be trained",
        "choose another template, or `type: completion` to train on plain text",
    ),
    "chatgpt": (
        "it is a list of messages for a service and says nothing of the text between them",
        "`conversation: chatml` is the template with that system text",
    ),
    "bard": (
        "it is a list of messages for a service and says nothing of the text between them",
        "choose another template",
    ),
}
"""Templates that are known and cannot be used: why not, and what to write instead."""


def conversation_named(name: str) -> Conversation:
    """The template of this name.

    Args:
        name: What a dataset entry says under `conversation`.

    Raises:
        ConfigError: there is none, and the nearest is named; or it cannot be used.
    """
    if name in TEMPLATES:
        return TEMPLATES[name]
    if name in UNUSABLE:
        why, instead = UNUSABLE[name]
        raise ConfigError(
            "conversation", f"conversation '{name}' cannot be trained: {why}", hint=instead
        )
    guess = nearest(name, TEMPLATES) or _begins(name)
    raise ConfigError(
        "conversation",
        f"there is no conversation '{name}'",
        hint=f"{f'did you mean {guess}? ' if guess else ''}Available: {', '.join(TEMPLATES)}",
    )


def _begins(name: str) -> str | None:
    """The first template that has the name in its own, as `vicuna_v1.1` for `vicuna`."""
    short = name.lower()
    return next((known for known in TEMPLATES if short and short in known.lower()), None)

"""CodeGen: GPT-J with one matrix for queries, keys and values."""

from axolotl.architectures import Architecture

FACTS = Architecture(
    title="CodeGen",
    model_types=("codegen",),
    linear=("fc_in", "fc_out", "out_proj", "qkv_proj"),
    embeddings=("wte", "lm_head"),
    rope="its code turns positions by itself and reads no settings for it",
    checkpoints=("Salesforce/codegen-350M-multi",),
)

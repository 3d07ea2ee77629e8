"""Names that later releases of the tool know and that this one does not support.

Read only when a key is unknown, to say so honestly instead of calling it a slip. When an option is
added to a section, its name leaves this list; a test checks that.
"""

from __future__ import annotations

_NAMES = """
accelerator_config activation_offloading auto_find_batch_size axolotl_config_path batch_flattening
batch_size bench_split center_rewards_coefficient cls_model_config comet_api_key comet_experiment_config
comet_experiment_key comet_mode comet_online comet_project_name comet_workspace
context_parallel_size cpo_alpha dataloader_drop_last dataloader_num_workers
dataloader_pin_memory dataloader_prefetch_factor dataset_keep_in_memory dataset_num_proc
datasets.input_format datasets.input_transform datasets.logprobs_field datasets.preprocess_shards
datasets.temperature datasets.trust_remote_code=false ddp deepcompile default_system_message
dense_mixer device device_map diffusion dion_lr dion_momentum dion_rank_fraction
dion_rank_multiple_of do_causal_lm_eval dp_replicate_size dp_shard_size dpo_beta
dpo_generate_during_eval dpo_label_smoothing dpo_loss_type dpo_loss_weights dpo_norm_loss
dpo_padding_free dpo_use_liger_kernel dpo_use_logits_to_keep dpo_use_weighting dsv4_bf16_all
dsv4_fp4_grouped_mode dsv4_fp8_lora_kernel dsv4_fp8_nonexpert_mode dsv4_shared_mlp_lora_kernel
dynamic_checkpoint eaft_alpha eaft_k eager_attention ebft embedding_lr embedding_lr_scale
embeddings_skip_upcast eval_causal_lm_metrics eval_max_new_tokens eval_sequence_len eval_strategy
experimental_skip_move_to_device expert_backend expert_parallel_backend
expert_parallel_fallback_on_unsupported expert_parallel_num_nvl_bytes expert_parallel_num_rdma_bytes
expert_parallel_size expert_parallel_token_capacity experts_implementation fix_untrained_tokens
flash_attn_d512 flash_attn_fuse_mlp flex_attention flex_attn_compile_kwargs float32
fp32_norm_classes fp32_norms fp8 fp8_enable_fsdp_float8_all_gather freeze_mm_modules
fsdp_config.activation_checkpointing fsdp_config.auto_wrap_policy fsdp_config.cpu_offload_pin_memory
fsdp_config.cpu_ram_efficient_loading fsdp_config.final_state_dict_type fsdp_config.fsdp_version
fsdp_config.min_num_params fsdp_config.mixed_precision_policy fsdp_config.offload_params
fsdp_config.reshard_after_forward fsdp_config.state_dict_type fsdp_config.sync_module_states
fsdp_config.transformer_layer_cls_to_wrap fsdp_config.use_orig_params fsdp_final_state_dict_type
fsdp_version fused_attn_kernel gc_collect_steps gc_steps gemma4_fp8_nonexpert
gemma4_hybrid_attn_impl gemma4_nf4_nonexpert generate_samples generation_do_sample
generation_max_new_tokens generation_prompt_ratio generation_temperature generation_top_k
generation_top_p gpu_memory_limit gradio_max_new_tokens gradio_server_name gradio_server_port
gradio_share gradio_temperature gradio_title grokfast_alpha grokfast_lamb hatchery heads_k_stride
hub_revision image_resize_algorithm image_size include_tkps include_tokens_per_second is_preprocess
is_qwen_derived_model jagged_restart_anneal_steps jagged_restart_steps jagged_restart_warmup_steps
kd_alpha kd_beta kd_ce_alpha kd_normalize_topk kd_online_server kd_online_server_base_url
kd_online_timeout kd_online_topk kd_temperature kd_temperature_min kd_trainer kto_desirable_weight
kto_undesirable_weight large_head_attention layer_offloading liger_cross_entropy
liger_glu_activation liger_layer_norm liger_rms_norm
liger_rms_norm_gated liger_rope liger_swiglu liger_use_token_scaling lisa_layers_attribute
lisa_n_layers lisa_step_interval llama4_linearized_experts llmcompressor lm_eval_batch_size
lm_eval_model lm_eval_post_train lm_eval_tasks lora_embedding_kernel lora_mlp_kernel lora_o_kernel
lora_on_cpu lora_qkv_kernel lora_target_parameters low_cpu_mem_usage max_memory max_prompt_len
mean_resizing_embeddings merge_lora merge_method model_config model_kwargs model_quantization_config
model_quantization_config_kwargs moe_bnb_fast moe_dequant_chunk_size moe_grouped_backend mora
multipack_real_batches neftune_noise_alpha nemo_gym_auto_clone nemo_gym_auto_start
nemo_gym_config_paths nemo_gym_datasets nemo_gym_dir nemo_gym_enabled nemo_gym_head_port
nemo_gym_max_turns nemo_gym_model_name nemo_gym_multi_turn nemo_gym_run_timeout
nemo_gym_server_timeout nemo_gym_verify_timeout nonexpert_quantization num_dataset_shards_to_save
num_generation_samples num_labels nvfp4_merge_aware nvfp4_merge_aware_start_step orpo_alpha
otel_metrics_host otel_metrics_port overrides_of_model_config overrides_of_model_kwargs
pad_to_multiple_of peft_autocast_adapter_dtype peft_ensure_weight_tying plugins pose_max_context_len
pose_num_chunks pose_split_on_token_ids precompute_ref_log_probs preprocess_iterable
pretrain_multipack_attn pretrain_multipack_buffer_size pretraining_sample_concatenation
process_reward_model processor_kwargs processor_type profiler_steps profiler_steps_start qat
qgalore_cos_threshold qgalore_gamma_proj qgalore_proj_bits qgalore_proj_group_size
qgalore_proj_quant qgalore_proj_type qgalore_queue_size qgalore_rank qgalore_scale
qgalore_update_proj_gap qlora_sharded_model_loading quantization quantize_moe_experts
ray_num_workers ray_run_name recipe reinit_weights relora relora_prune_method
remove_unused_columns resources_per_worker revision_of_model reward_model ring_attn_func rl rl_beta
role_boundaries rpo_alpha s2_attention sage_attention sample_packing_bin_size
sample_packing_group_size sample_packing_mp_start_method save_compressed save_first_step
save_only_model scaling_softmax scaling_softmax_bias scaling_softmax_factor sdpa_varlen
selective_checkpointing sequence_parallel_degree shrink_embeddings simpo_gamma skip_prepare_dataset
special_tokens.additional_special_tokens spectrum_model_name spectrum_top_fraction swanlab_api_host
swanlab_api_key swanlab_completion_log_interval swanlab_completion_max_buffer swanlab_description
swanlab_experiment_name swanlab_lark_secret swanlab_lark_webhook_url swanlab_log_completions
swanlab_log_model swanlab_mode swanlab_project swanlab_web_host swanlab_workspace
tensor_parallel_size tiled_mlp tiled_mlp_num_shards tiled_mlp_use_original_mlp
tokenizer_save_jinja_files tokenizer_use_mistral_common torch_compile_options
torch_empty_cache_steps total_supervised_tokens trackio_project_name trackio_run_name
trackio_space_id trainer_cls trl type_of_model use_comet use_dsv4_kernels use_eaft
use_glm_dsa_kernels use_kernels use_onebitllms use_otel_metrics use_pose use_ray use_scattermoe
use_sonicmoe use_swanlab use_trackio use_wandb vllm world_size
"""

LATER: dict[str, str | None] = {
    name: idle or None for name, _, idle in (word.partition("=") for word in _NAMES.split())
}
"""Name → the value with which it may stand in a file, because it says what happens anyway."""

_SHORT_IN_FSDP_CONFIG = """
activation_checkpointing auto_wrap_policy cpu_ram_efficient_loading min_num_params offload_params
reshard_after_forward state_dict_type sync_module_states transformer_layer_cls_to_wrap
use_orig_params
"""

_KERNELS_OF_LIGER = """
liger_glu_activation liger_layer_norm liger_rms_norm liger_rms_norm_gated liger_rope liger_swiglu
"""

INSTEAD: dict[str, str] = {
    **{f"fsdp_config.{n}": f"write fsdp_{n}" for n in _SHORT_IN_FSDP_CONFIG.split()},
    **dict.fromkeys(
        _KERNELS_OF_LIGER.split(),
        "remove it: only the loss is fused, by liger_fused_linear_cross_entropy",
    ),
    "fsdp_version": "remove it: FSDP 2 is what runs, turned on by `fsdp: [full_shard, auto_wrap]`",
    "fsdp_config.fsdp_version": "remove it: FSDP 2 is what runs",
    "batch_size": "set gradient_accumulation_steps to batch_size divided by micro_batch_size",
    "datasets.trust_remote_code": "data sets that bring code are not loaded any more",
    "liger_cross_entropy": "write liger_fused_linear_cross_entropy",
    "plugins": "remove it: liger_fused_linear_cross_entropy or cut_cross_entropy is enough",
    "eval_strategy": "write evaluation_strategy",
    "ray_num_workers": "say so on the command line: --launcher ray --ray_num_workers N",
    "ray_run_name": "say so on the command line: --launcher ray --ray_run_name NAME",
    "resources_per_worker": "say so on the command line: --launcher ray --ray_resources_per_worker "
    "'{\"GPU\": 1}'",
    "revision_of_model": "write model_revision",
    "type_of_model": "write model_type",
    "use_ray": "say so on the command line: --launcher ray",
}
"""Name → what to do instead, where there is something better than removing it."""

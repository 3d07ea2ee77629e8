"""Models that are spread over several processes: FSDP 2 and DeepSpeed."""

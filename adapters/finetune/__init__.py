"""Fine-tuning of a transformers checkpoint with a QuIC adapter: what `quic finetune` does."""

"""QuIC adapters: orthogonal fine-tuning by compound matrices, inside Hugging Face PEFT."""

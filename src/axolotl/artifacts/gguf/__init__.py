"""Export to GGUF, the file format of llama.cpp, for models that are built like a Llama."""

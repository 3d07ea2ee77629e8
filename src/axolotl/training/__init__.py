"""The training loop: transformers' Trainer with packed rows, an exact loss and exact resumes."""

"""Models rebuilt here, registered with transformers."""

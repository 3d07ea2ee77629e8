"""ReLoRA (arXiv 2307.05695): an adapter that is merged into its base model again and again.

A low-rank update merged many times comes to one of high rank. At the beginning of every step whose
number is a multiple of `relora_steps`, the adapter is added to the weights below it and begun anew,
the optimizer forgets, and the learning rate rises again from near zero.
"""

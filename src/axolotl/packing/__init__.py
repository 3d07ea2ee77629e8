"""Lengths → rows of samples → flattened batches.

    lengths ─ plan.py ─▶ PackPlan ─ sampler.py ─▶ sample numbers ─ loader.py, batch.py ─▶ PackedBatch

A plan is made of integers alone, before a sample is read: which samples share a row, in which order
the rows come, and which process gets which. So the number of steps of a training is known before it
begins, and a resumed one goes on without reading what it has seen.
"""

"""Multiple-choice questions that a model answers at each evaluation."""

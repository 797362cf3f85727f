"""From the logits on held-out photos to probabilities, and to what these are worth."""

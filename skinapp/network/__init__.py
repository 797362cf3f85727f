"""The network: its folder, its forward pass, and what is asked of it besides probabilities."""

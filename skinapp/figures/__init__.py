"""What is known of how good a network is: measured, published, or computed from labels."""

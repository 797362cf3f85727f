"""Where photos for training and for the page come from."""

"""What stands between the network and the page: who may ask for what, how much, and what is remembered of it. No Gradio here."""

"""What exists only because Gradio is as it is. An upgrade of Gradio is work in this folder."""

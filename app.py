"""Starts the page: `python app.py`, on http://127.0.0.1:7860 or where GRADIO_SERVER_NAME and GRADIO_SERVER_PORT say."""

from skinapp.serve import serve

if __name__ == "__main__":
    serve()

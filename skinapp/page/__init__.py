"""The Gradio page. It paints before TensorFlow is loaded, which happens in the background meanwhile."""

from typing import Any

import gradio as gr

from skinapp.page import api, lesion
from skinapp.page.engine import Engine
from skinapp.page.look import CSS, HEAD, THEME
from skinapp.preprocess import MOST_BYTES

KEPT_SECONDS = 300  # Gradio looks this often for files older than this: an upload lives ten minutes at most


def build() -> gr.Blocks:
    """The whole page, and the start of loading the models. Raises nothing: what fails is said on the page."""
    engine = Engine()
    with gr.Blocks(
        title="skinapp", analytics_enabled=False, delete_cache=(KEPT_SECONDS, KEPT_SECONDS), fill_width=True
    ) as page:
        lesion.add(engine)
        api.add(engine)
    return page.queue(default_concurrency_limit=4)


def launch(page: gr.Blocks, **options: Any) -> None:
    """Serve the page until the process ends. options: further arguments of `gr.Blocks.launch`."""
    page.launch(
        theme=THEME,
        css=CSS,
        head=HEAD,
        max_file_size=MOST_BYTES,
        footer_links=["api"],
        run_history=False,  # it would keep readings in the browser
        ssr_mode=False,
        **options,
    )

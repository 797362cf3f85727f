"""The Gradio page. It paints before TensorFlow is loaded, which happens in the background meanwhile."""

import gradio as gr

from skinapp.page import about, api, lesion, many, performance
from skinapp.page.engine import Engine
from skinapp.page.look import CSS, FIGURES_CSS, HEAD, MANY_CSS, THEME, head_html
from skinapp.page.memory import forget_old_sessions
from skinapp.page.similar import CSS as CASES_CSS
from skinapp.sources import MOST_ARCHIVE_BYTES

KEPT_SECONDS = 300  # Gradio looks this often for files older than this: an upload lives ten minutes at most


def build() -> gr.Blocks:
    """The whole page, and the start of loading the models. Raises ModelError where no model folder is to be found."""
    engine = Engine()
    with gr.Blocks(
        title="skinapp", analytics_enabled=False, delete_cache=(KEPT_SECONDS, KEPT_SECONDS), fill_width=True
    ) as page:
        gr.HTML(head_html(), elem_id="head")
        with gr.Tabs(elem_id="main-tabs"):
            with gr.Tab("One lesion", id="lesion"):
                lesion.add(engine)
            with gr.Tab("Many photos", id="many"):
                many.add(engine)
            with gr.Tab("How good is it", id="performance"):
                performance.add(engine)
            with gr.Tab("About", id="about"):
                about.add(engine)
        api.add(engine)
    return page.queue(default_concurrency_limit=4)


def launch(page: gr.Blocks) -> None:
    """Serve the page until the process ends."""
    forget_old_sessions(page)
    page.launch(
        theme=THEME,
        css=CSS + FIGURES_CSS + MANY_CSS + CASES_CSS,
        head=HEAD,
        max_file_size=MOST_ARCHIVE_BYTES,  # of a photo, `open_photo` takes less
        footer_links=["api"],
        run_history=False,  # it would keep readings in the browser
        enable_monitoring=False,  # it answers anybody
        ssr_mode=False,
    )

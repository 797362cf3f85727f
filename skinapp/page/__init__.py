"""The Gradio page. It paints before TensorFlow is loaded, which happens in the background."""

import os
from pathlib import Path

import gradio as gr
from fastapi import FastAPI
from gradio.routes import App as GradioApp
from starlette.routing import Mount

from skinapp.page import about, api, lesion, many, performance
from skinapp.page.fence import zero_gpu
from skinapp.page.fence.events import Events
from skinapp.page.fence.guard import Guard
from skinapp.page.fence.memory import empty_folder, forget_old_sessions
from skinapp.page.look import CSS, FIGURES_CSS, HEAD, MANY_CSS, THEME, head_html
from skinapp.page.similar import CSS as CASES_CSS
from skinapp.photo.sources import MOST_ARCHIVE_BYTES
from skinapp.service import rest, server
from skinapp.service.engine import Engine
from skinapp.service.settings import Settings
from skinapp.service.uploads import Ledger


def build(engine: Engine) -> gr.Blocks:
    """The whole page."""
    with gr.Blocks(title="skinapp", analytics_enabled=False, fill_width=True) as page:
        gr.HTML(head_html(), elem_id="head")
        with gr.Tabs(elem_id="main-tabs"):
            with gr.Tab("One lesion", id="lesion"):
                lesion.add(engine, page)
            with gr.Tab("Many photos", id="many"):
                many.add(engine)
            with gr.Tab("Performance", id="performance"):
                performance.add(engine)
            with gr.Tab("About", id="about"):
                about.add(engine)
        api.add(engine)
    return page.queue(default_concurrency_limit=4, max_size=engine.settings.waiting)


def launch(page: gr.Blocks, engine: Engine, settings: Settings, uploads: Path) -> None:
    """Serve the page and the plain routes until the process is told to end, and load the models meanwhile. uploads:
    GRADIO_TEMP_DIR.

    Raises OSError where nobody can listen at the address of the settings.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(rest.router(engine))
    gr.mount_gradio_app(
        app,
        page,
        path="/",
        root_path=os.environ.get("GRADIO_ROOT_PATH"),  # where a proxy serves the page under a path
        theme=THEME,
        css=CSS + FIGURES_CSS + MANY_CSS + CASES_CSS,
        head=HEAD,
        max_file_size=MOST_ARCHIVE_BYTES,  # of a photo, `open_photo` takes less
        footer_links=["api"],
        run_history=False,  # it would keep readings in the browser
        enable_monitoring=False,  # it answers anybody
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        show_error=False,
    )
    gradio = next(
        route.app for route in app.routes if isinstance(route, Mount) and isinstance(route.app, GradioApp)
    )
    # What `launch` of Gradio would do: without it, Gradio does not check which files an event names.
    page.app = page.server_app = gradio
    page.has_launched = True
    ledger = Ledger(uploads)
    forget_old_sessions(page)
    empty_folder(page, ledger)
    zero_gpu.report()
    guarded = Guard(app, ledger, Events(page), settings.on_space)
    server.serve(guarded, settings, ledger, engine.load, gradio.stop_event.set)

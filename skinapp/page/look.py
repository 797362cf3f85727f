"""How the page looks: calm, one accent colour, system fonts, nothing fetched from elsewhere."""

import gradio as gr

FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif")

THEME = gr.themes.Base(
    primary_hue=gr.themes.colors.teal,
    secondary_hue=gr.themes.colors.teal,
    neutral_hue=gr.themes.colors.slate,
    font=FONTS,
    font_mono=("ui-monospace", "Consolas", "monospace"),
    radius_size=gr.themes.sizes.radius_md,
).set(
    body_background_fill="*neutral_50",
    body_background_fill_dark="*neutral_950",
    block_background_fill="white",
    block_background_fill_dark="*neutral_900",
    block_border_width="1px",
    stat_background_fill="*primary_600",
    stat_background_fill_dark="*primary_400",
    slider_color="*primary_700",
    slider_color_dark="*primary_400",
    block_label_text_color="*neutral_700",
    block_label_text_color_dark="*neutral_200",
    body_text_color_subdued="*neutral_600",
    body_text_color_subdued_dark="*neutral_300",
    layout_gap="12px",
    block_info_text_color="*neutral_600",
    block_info_text_color_dark="*neutral_300",
)

CSS = """
.gradio-container { max-width: 1240px !important; margin: 0 auto !important; padding-top: 12px !important; }
#head { display: flex; flex-wrap: wrap; align-items: baseline; gap: 4px 14px; }
#head h1 { font-size: 1.5rem; font-weight: 650; margin: 0; color: var(--body-text-color); }
#head p { margin: 0; color: var(--body-text-color-subdued); }
.notice { border-left: 4px solid #b45309; background: #fff7e6; color: #4a2a04; padding: 8px 12px; border-radius: 6px;
  margin: 0; font-size: .92rem; }
.dark .notice { background: #33240d; color: #ffe2b0; border-color: #f0a53a; }
.sentence { font-size: 1.15rem; margin: 0; padding: 2px 0; }
.sentence strong { font-weight: 650; }
.sentence small { display: block; font-size: .85rem; color: var(--body-text-color-subdued); }
.held { margin: 4px 0 0; font-size: .92rem; }
.refusal { border-left: 4px solid #b91c1c; background: #fdecec; color: #5f1212; padding: 10px 12px; border-radius: 6px;
  margin: 0; }
.dark .refusal { background: #3b1414; color: #ffd6d6; border-color: #f47272; }
.waiting { color: var(--body-text-color-subdued); margin: 0; }
.mix { font-size: .82rem; color: var(--body-text-color-subdued); margin: 0; }
figure.saliency { margin: 0; }
figure.saliency .stack { position: relative; width: 100%; max-width: 300px; aspect-ratio: 1; margin: 0 auto;
  border-radius: 8px; overflow: hidden; background: var(--background-fill-secondary); }
figure.saliency img { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: cover; margin: 0; }
figure.saliency img.heat { opacity: var(--heat-opacity, .5); }
figure.saliency figcaption { max-width: 330px; margin: 6px auto 0; font-size: .82rem; }
.scale { height: 10px; border-radius: 5px; margin: 4px 0 2px; }
.ends { display: flex; justify-content: space-between; color: var(--body-text-color-subdued); }
.gradio-container .html-container { padding: 0 !important; }
#bars, #bars * { font-family: inherit; }
footer { opacity: 1 !important; }
@media (max-width: 640px) { .sentence { font-size: 1.05rem; } }
"""

HEAD = '<meta name="referrer" content="no-referrer">'

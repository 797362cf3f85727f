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
.gradio-container { width: 100% !important; max-width: 1240px !important; margin: 0 auto !important; padding-top: 12px !important; }
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

# Tables, cards and drawings of the tabs "How good is it" and "About". Colours for the colour-blind: Okabe & Ito, darker or
# lighter until they stand out from the ground; classes differ in their dashes, too.
FIGURES_CSS = """
:root { --chart-text: #334155; --chart-faint: #cbd5e1; --chart-accent: #0f766e; --chart-other: #b45309;
  --chart-akiec: #0072b2; --chart-bcc: #b45f06; --chart-bkl: #00795a; --chart-df: #a8447f; --chart-mel: #c02f0d;
  --chart-nv: #3b3b3b; --chart-vasc: #2f7fb5; --shade: 15, 118, 110; }
.dark { --chart-text: #cbd5e1; --chart-faint: #475569; --chart-accent: #2dd4bf; --chart-other: #f0a53a;
  --chart-akiec: #5fb4ee; --chart-bcc: #f0b429; --chart-bkl: #2fc99b; --chart-df: #e8a3cc; --chart-mel: #ff8a66;
  --chart-nv: #e2e8f0; --chart-vasc: #9ad4f7; }
.view h2, #about h2 { font-size: .95rem; font-weight: 600; margin: 0 0 4px; color: var(--body-text-color); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(300px, 100%), 1fr)); gap: 10px; }
.card { border: 1px solid var(--border-color-primary); border-radius: 8px; padding: 10px 14px;
  background: var(--block-background-fill); }
.card p { margin: 0; }
.stackedcards { display: grid; gap: 10px; }
.figure b { font-size: 1.45rem; font-weight: 650; font-variant-numeric: tabular-nums; }
.figure span { color: var(--body-text-color-subdued); font-size: .85rem; font-variant-numeric: tabular-nums; }
.figure em { float: right; font-style: normal; font-size: .85rem; padding-top: .5em; }
.three { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 6px 14px; }
.interval { position: relative; height: 8px; border-radius: 4px; background: var(--chart-faint); margin: 3px 0 5px;
  min-width: 56px; opacity: .95; }
.interval i { position: absolute; top: 0; bottom: 0; border-radius: 4px; background: rgba(var(--shade), .55); }
.interval b { position: absolute; top: -2px; bottom: -2px; width: 3px; margin-left: -1.5px; background: var(--chart-accent); }
ul.plain { list-style: none; margin: 8px 0 4px; padding: 0; font-size: .9rem; }
.view .mix { margin-top: 6px; max-width: 150ch; }
.view .card .mix { margin-top: 0; }
ul.mix { padding-left: 1.2em; }
.sides { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(420px, 100%), 1fr)); gap: 8px 28px;
  align-items: start; }
.columns { columns: 2 520px; column-gap: 28px; }
.columns > div { break-inside: avoid; margin-bottom: 6px; }
.small { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(196px, 45%), 1fr)); gap: 4px 14px; }
.scrolls { overflow-x: auto; }
.view table, .view thead, .view tbody, .view tr { border: 0 !important; }
.view table { width: 100%; border-collapse: collapse; font-size: .86rem; margin: 0; }
.view caption { text-align: left; font-weight: 600; padding: 2px 0 4px; }
.view th, .view td { border: 0; border-bottom: 1px solid var(--border-color-primary); padding: 4px 8px 4px 0; text-align: left;
  font-weight: 400; vertical-align: baseline; background: none; }
.view thead th { color: var(--body-text-color-subdued); font-size: .8rem; }
.view table.numbers td { font-variant-numeric: tabular-nums; white-space: nowrap; }
.view table.words td { white-space: normal; }
.view table.narrow th, .view table.narrow td { padding: 2px 6px 2px 0; font-size: .82rem; white-space: nowrap; }
.view table.groups .interval { margin: 0; width: 52px; min-width: 0; }
.view tr.ours > * { font-weight: 650; }
.view small { color: var(--body-text-color-subdued); font-size: .78rem; }
.view table.confusion th, .view table.confusion td { text-align: center; padding: 7px 4px; }
.view td.shade { background: rgba(var(--shade), var(--share)); color: var(--body-text-color); min-width: 40px; }
.view td.shade.strong { background: rgb(var(--shade)); color: white; }
.view td.shade.right { font-weight: 700; }
svg.chart { display: block; width: 100%; height: auto; max-width: 560px; stroke-linejoin: round; stroke-linecap: butt;
  font-family: inherit; }
figure.drawn { margin: 0; }
figure.drawn figcaption { font-weight: 600; font-size: .9rem; }
.marked { position: relative; max-width: 560px; }
.marked .mark { position: absolute; top: 3.3%; bottom: 12.7%; width: 2px; margin-left: -1px; background: var(--chart-text); }
.thousand { display: flex; height: 16px; border-radius: 4px; overflow: hidden; margin: 8px 0 4px; gap: 1px; }
.thousand i, .legend i { background-color: var(--chart-accent); }
.thousand i { min-width: 2px; }
.thousand .missed, .legend .missed { background-color: var(--chart-mel); }
.thousand .alarms, .legend .alarms { background-color: var(--chart-bcc);
  background-image: repeating-linear-gradient(45deg, #0000 0 4px, #fff6 4px 6px); }
.thousand .spared, .legend .spared { background-color: var(--chart-faint); }
.legend { display: flex; flex-wrap: wrap; gap: 2px 14px; font-size: .85rem; }
.legend i { display: inline-block; width: 10px; height: 10px; border-radius: 3px; margin-right: 5px; }
.view a, #about a { color: var(--chart-accent); text-decoration: underline; padding: 0; margin: 0; }
button[role="tab"].selected { color: var(--chart-accent); }
#about .card { font-size: .88rem; line-height: 1.45; }
#about .card ul { margin: 4px 0 0; padding-left: 1.2em; }
#about > .notice { margin-bottom: 10px; }
.versions { display: grid; grid-template-columns: auto 1fr; gap: 2px 14px; font-size: .82rem; margin: 10px 0 0; }
.versions dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 640px) { .versions { grid-template-columns: 1fr; } .view table.groups .interval { display: none; }
  .view table.words { min-width: 680px; } }
"""

HEAD = '<meta name="referrer" content="no-referrer">'

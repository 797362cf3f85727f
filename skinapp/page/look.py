"""How the page looks: calm, one accent colour, system fonts, nothing fetched from elsewhere."""

from html import escape

import gradio as gr

from skinapp import NOTICE

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
    color_accent="*primary_700",  # as text on the page's background, primary_500 is too pale
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_dark="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_hover_dark="*primary_800",
    button_primary_text_color="white",
    button_primary_text_color_dark="white",
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


def head_html() -> str:
    """Name, purpose and notice, above all tabs."""
    first, rest = NOTICE.split(". ", 1)
    return (
        "<h1>skinapp</h1><p>Seven class probabilities for a dermatoscopic photo, and where the network found its evidence</p>"
        f'<p class="notice" role="note"><strong>{escape(first)}.</strong> {escape(rest)}</p>'
    )


CSS = """
.gradio-container { width: 100% !important; max-width: 1800px !important; margin: 0 auto !important; padding-top: 6px !important; }
.gradio-container .html-container { padding: 0 !important; }
.dark { --color-accent: var(--primary-400); }
.visually-hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
#head .prose, #head .html-container > div { display: flex; flex-wrap: wrap; align-items: baseline; gap: 2px 14px; }
#head h1 { font-size: 1.4rem; font-weight: 650; margin: 0; color: var(--body-text-color); }
#head p { margin: 0; color: var(--body-text-color-subdued); font-size: .92rem; }
#head p.notice { flex-basis: 100%; padding: 4px 12px; font-size: .85rem; color: #4a2a04; }
.dark #head p.notice { color: #ffe2b0; }
.notice { border-left: 4px solid #b45309; background: #fff7e6; color: #4a2a04; padding: 8px 12px; border-radius: 6px;
  margin: 0; font-size: .92rem; }
.dark .notice { background: #33240d; color: #ffe2b0; border-color: #f0a53a; }
.notice strong { color: inherit; }
.refusal { border-left: 4px solid #b91c1c; background: #fdecec; color: #5f1212; padding: 10px 12px; border-radius: 6px;
  margin: 0; }
.dark .refusal { background: #3b1414; color: #ffd6d6; border-color: #f47272; }
.waiting { color: var(--body-text-color-subdued); margin: 0; }
.mix, .trust { font-size: .8rem; color: var(--body-text-color-subdued); margin: 0; line-height: 1.4; }

.headline { border-left: 4px solid var(--neutral-400); padding: 2px 0 2px 12px; line-height: 1.4; }
.headline.flagged { border-color: #b45309; }
.dark .headline.flagged { border-color: #f0a53a; }
.headline:focus { outline: none; }
.headline h2.flag { display: flex; gap: 8px; align-items: flex-start; font-size: 1.05rem; font-weight: 650; margin: 0;
  line-height: 1.3; color: var(--body-text-color); }
.headline .mark { flex: none; width: 1.35em; height: 1.35em; border-radius: 50%; text-align: center; font-size: .95em;
  color: var(--body-text-color); border: 1.5px solid var(--neutral-500); line-height: 1.25; }
.headline.flagged .mark { background: #b45309; border-color: #b45309; color: white; }
.headline p { margin: 3px 0 0; }
.headline .held { font-size: .94rem; margin-top: 5px; }
.headline .cost { font-size: .78rem; line-height: 1.35; color: var(--body-text-color-subdued); }
.headline .strange { font-size: .9rem; font-weight: 600; color: #92400e; margin: 0 0 4px; }
.dark .headline .strange { color: #fbbf77; }
.notice h2 { font-size: 1rem; font-weight: 650; margin: 0 0 2px; color: inherit; }
.sum { margin: 0 0 10px; }
.sum p { display: flex; justify-content: space-between; margin: 0; font-size: .9rem; }
.sum p.mix { display: block; font-size: .8rem; }
.sum small { color: var(--body-text-color-subdued); }
.sum .track { position: relative; height: 10px; border-radius: 3px; background: var(--neutral-200); margin: 3px 0; }
.dark .sum .track { background: var(--neutral-700); }
.sum .track span { display: block; height: 100%; background: #b45309; border-radius: 3px; }
.dark .sum .track span { background: #f0a53a; }
.sum .track i { position: absolute; top: -3px; bottom: -3px; width: 2px; background: var(--body-text-color); }
details.mix dl { margin: 4px 0 0; }
details.mix dt { font-weight: 600; }
details.mix dd { margin: 0 0 4px; }
ol.bars .in-set { font-size: .72rem; color: var(--primary-700); white-space: nowrap; }
.dark ol.bars .in-set { color: var(--primary-300); }
.small-head .mix { font-weight: 400; }
.small-head { font-size: .85rem; font-weight: 600; margin: 0 0 4px; color: var(--body-text-color); }

ol.bars { list-style: none; margin: 0; padding: 0; font-size: .86rem; line-height: 1.35; }
ol.bars small { color: var(--body-text-color-subdued); }
ol.bars li { display: grid; grid-template-columns: 1fr auto; gap: 0 10px; padding: 2px 0 2px 10px; margin: 0;
  border-left: 3px solid transparent; }
ol.bars li.inside, .swatch { border-left: 3px solid var(--primary-600); }
.dark ol.bars li.inside, .dark .swatch { border-left-color: var(--primary-400); }
.swatch { display: inline-block; height: .8em; margin-right: 8px; vertical-align: middle; }
ol.bars .track { grid-column: 1 / -1; height: 6px; border-radius: 3px; background: var(--neutral-200); overflow: hidden; }
.dark ol.bars .track { background: var(--neutral-700); }
ol.bars .track span { display: block; height: 100%; background: var(--primary-600); border-radius: 3px; }
.dark ol.bars .track span { background: var(--primary-400); }
ol.bars .share { font-variant-numeric: tabular-nums; }
ol.bars .kind { font-size: .7rem; padding: 0 5px; border-radius: 8px; border: 1px solid currentColor; opacity: 1;
  color: #92400e; white-space: nowrap; }
.dark ol.bars .kind { color: #fbbf77; }

ul.checks { list-style: none; margin: 0; padding: 0; font-size: .85rem; line-height: 1.4; }
ul.checks li { padding: 2px 0 2px 22px; margin: 0; position: relative; }
ul.checks li::before { position: absolute; left: 2px; font-weight: 700; }
ul.checks li.failed::before { content: "!"; color: #b45309; }
ul.checks li.passed::before { content: "\\2713"; color: var(--primary-700); }
.dark ul.checks li.failed::before { color: #f0a53a; }
.dark ul.checks li.passed::before { color: var(--primary-400); }
ul.checks li.passed { color: var(--body-text-color-subdued); }

.examples { display: flex; flex-wrap: wrap; gap: 8px; margin-top: 4px; }
.examples button { padding: 0; border: 1px solid var(--border-color-primary); border-radius: 6px; overflow: hidden;
  cursor: pointer; background: none; line-height: 0; flex: 1 1 0; max-width: 96px; }
.examples button:hover, .examples button:focus-visible { outline: 2px solid var(--primary-600); outline-offset: 1px; }
.examples img { width: 100%; height: auto; margin: 0; }

.frame-photo { position: relative; overflow: hidden; border-radius: 8px; max-height: 300px; max-width: 100%; margin: 0 auto;
  background: #000; }
.frame-photo img { width: 100%; height: 100%; margin: 0; display: block; }
.frame-square { position: absolute; box-sizing: border-box; border: 2px solid #fff; cursor: move;
  box-shadow: 0 0 0 1px #000, 0 0 0 2000px rgba(0, 0, 0, .45); touch-action: none; }
.frame-square:focus-visible { outline: 3px solid var(--primary-400); outline-offset: -5px; }
.frame-corner { position: absolute; right: -2px; bottom: -2px; width: 22px; height: 22px; cursor: nwse-resize;
  background: linear-gradient(135deg, transparent 50%, #fff 50%); }
#frame-buttons { flex-wrap: nowrap; gap: 6px; }
#frame-buttons button { padding: 4px 6px; min-width: 0 !important; }
details.mix summary { cursor: pointer; }
#point { padding: 6px 12px; }
#point label { padding: 3px 10px; }

figure.saliency { margin: 0; }
figure.saliency .stacks { display: flex; justify-content: center; gap: 8px; }
figure.saliency .stack { position: relative; flex: 1 1 0; min-width: 0; max-width: min(660px, calc(100vh - 250px)); aspect-ratio: 1;
  border-radius: 8px; overflow: hidden; background: var(--background-fill-secondary); margin: 0; touch-action: pan-y; cursor: zoom-in; }
figure.zoomed .stack { touch-action: none; cursor: grab; }
figure.saliency .layer { position: absolute; inset: 0; transform-origin: 0 0; }
figure.saliency .stack.bare { display: none; }
/* Important, because Gradio adds a copy of each rule under its container, where it outweighs a rule that begins at the root. */
[data-view="side"] figure.saliency .stack.bare { display: block !important; }
[data-view="side"] figure.saliency .three .stack.bare { display: none !important; }
[data-view="photo"] figure.saliency img.heat, [data-hidden] figure.saliency img.heat { visibility: hidden; }
figure.saliency img { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: cover; margin: 0; user-select: none; }
figure.saliency img.heat { opacity: var(--heat-opacity, .5); pointer-events: none; }
figure.saliency .of { position: absolute; left: 0; right: 0; bottom: 0; padding: 2px 6px; font-size: .78rem; background: #0f172acc;
  color: #fff; }
figure.saliency figcaption { margin: 6px auto 0; font-size: .8rem; line-height: 1.4; }
.viewer-bar { display: flex; flex-wrap: wrap; gap: 4px; margin: 0 0 6px; }
.viewer-bar button, .dropzone .ways button, .viewer dialog button { padding: 4px 9px; font-size: .8rem; border-radius: 6px; cursor: pointer;
  border: 1px solid var(--border-color-primary); background: var(--block-background-fill); color: var(--body-text-color); }
.viewer-bar button[aria-pressed="true"] { background: var(--primary-700); color: white; border-color: var(--primary-700); }
.viewer-bar button:focus-visible, .dropzone button:focus-visible { outline: 2px solid var(--primary-600); outline-offset: 1px; }
.viewer:fullscreen { background: #000; padding: 12px; display: flex; flex-direction: column; overflow: auto; }
.viewer:fullscreen .stack { max-width: calc(100vh - 70px); }
.viewer:fullscreen figcaption { display: none; }
.viewer dialog, .dropzone dialog { padding: 16px; border-radius: 10px; border: 1px solid var(--border-color-primary);
  background: var(--block-background-fill); color: var(--body-text-color); margin: auto; max-width: min(90vw, 640px); }
.keys { display: grid; grid-template-columns: auto 1fr; gap: 4px 16px; font-size: .88rem; margin: 0 0 12px; }
.keys dt { font-weight: 650; }
.keys dd { margin: 0; }
#photo-file { display: none; }
.dropzone .choose { width: 100%; min-height: 170px; padding: 16px; border: 2px dashed var(--neutral-400); border-radius: 10px; cursor: pointer;
  background: var(--block-background-fill); color: var(--body-text-color); display: grid; place-content: center; gap: 6px; text-align: center; }
.dropzone .choose:hover { border-color: var(--primary-600); }
.dropzone small { color: var(--body-text-color-subdued); font-size: .8rem; }
.dropzone .ways { display: flex; gap: 8px; margin-top: 8px; }
.dropzone video { width: 100%; max-height: 60vh; border-radius: 8px; background: #000; }
.touch { display: none; }
@media (hover: none) and (pointer: coarse) { .touch { display: inline; } .mouse { display: none; }
  .dropzone .ways button, .viewer-bar button, #frame-buttons button,
  .examples button, .many-pager button, button[role="tab"] { min-height: 44px; min-width: 44px; }
  .dropzone .ways button { flex: 1; font-size: .95rem; }
  details.mix summary { padding: 11px 0; } }
.scale { height: 8px; border-radius: 4px; margin: 4px 0 2px; }
#map-column .tabitem { padding: 2px 0 0; }
#map-column .tabitem .column { gap: 8px; }
.ends { display: flex; justify-content: space-between; color: var(--body-text-color-subdued); }
footer { opacity: 1 !important; margin: 0 !important; padding: 4px 0 !important; }
.gradio-container main { padding-bottom: 4px !important; }
@media (max-width: 640px) {
  #main-tabs > .tab-wrapper button { padding: 6px 5px; font-size: .76rem; }  /* all four beside each other */
}
"""

# Tables, cards and drawings of the tabs "Performance" and "About". Colours for the colour-blind: Okabe & Ito, darker or
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
.view th, .view td { border: 0; border-bottom: 1px solid var(--border-color-primary); padding: 3px 8px 3px 0; text-align: left;
  font-weight: 400; vertical-align: baseline; background: none; }
.view thead th { color: var(--body-text-color-subdued); font-size: .8rem; }
.view table.numbers td { font-variant-numeric: tabular-nums; white-space: nowrap; }
.view table.words td { white-space: normal; }
.view table.narrow th, .view table.narrow td { padding: 1px 6px 1px 0; font-size: .82rem; white-space: nowrap; }
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

# The table of many photos.
MANY_CSS = """
#many-start { background: var(--primary-700); color: white; }
#many-progress progress { appearance: none; display: block; width: 100%; height: 8px; border: 0; border-radius: 4px;
  overflow: hidden; background: var(--border-color-primary); }
#many-progress progress::-webkit-progress-bar { background: var(--border-color-primary); }
#many-progress progress::-webkit-progress-value { background: var(--primary-600); }
#many-progress progress::-moz-progress-bar { background: var(--primary-600); }
#many-progress p { margin: 0 0 4px; font-size: .9rem; }
.many-empty { display: grid; place-items: center; min-height: 260px; padding: 24px; text-align: center;
  border: 1px dashed var(--border-color-primary); border-radius: 8px; }
.many-empty p { max-width: 46ch; }
.many-scroll { max-height: 510px; overflow: auto; contain: inline-size; border: 1px solid var(--border-color-primary); border-radius: 8px;
  background: var(--block-background-fill); }
.many-scroll:focus-visible, table.many button:focus-visible, .many-pager button:focus-visible {
  outline: 2px solid var(--primary-600); outline-offset: -2px; }
table.many { width: 100%; border-collapse: collapse; font-size: .86rem; line-height: 1.35; color: var(--body-text-color); }
table.many caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
table.many thead th { position: sticky; top: 0; z-index: 1; background: var(--background-fill-secondary); padding: 0;
  text-align: left; }
table.many thead button { width: 100%; padding: 8px 10px; text-align: left; font: inherit; font-weight: 600; color: inherit;
  background: none; border: 0; cursor: pointer; }
table.many thead button:hover { background: var(--border-color-primary); }
table.many .arrow { font-size: .75em; color: var(--body-text-color-subdued); }
table.many tbody tr { border-top: 1px solid var(--border-color-primary); }
table.many tbody td, table.many tbody th { padding: 5px 10px; text-align: left; font-weight: 400; vertical-align: middle; }
table.many .photo { display: flex; align-items: center; gap: 10px; }
table.many .photo img, table.many .photo .none { width: 40px; height: 40px; border-radius: 5px; margin: 0; flex: none; }
table.many .photo .none { display: grid; place-items: center; background: var(--background-fill-secondary); }
table.many .file { max-width: 20ch; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
table.many small.file { display: block; font-size: .85em; }
table.many td:last-child { min-width: 16ch; max-width: 24ch; font-size: .95em; }
table.many small { color: var(--body-text-color-subdued); font-size: .95em; }
table.many .kind { color: #92400e; font-weight: 600; font-size: .85em; }
.dark table.many .kind { color: #f6bd60; }
table.many .share { min-width: 110px; }
table.many .col-malignant { width: 150px; }
table.many .number { display: block; font-variant-numeric: tabular-nums; }
table.many .track { display: block; position: relative; height: 6px; border-radius: 3px; background: var(--border-color-primary); }
table.many .track span { display: block; height: 100%; border-radius: 3px; background: var(--primary-600); }
table.many .track i { position: absolute; top: -3px; bottom: -3px; width: 2px; background: var(--body-text-color); }
table.many .flagged { color: #92400e; white-space: nowrap; }
.dark table.many .flagged { color: #f6bd60; }
table.many tr.strange td { color: var(--body-text-color-subdued); }
.dark table.many .track span { background: var(--primary-400); }
table.many ul { margin: 0; padding: 0; list-style: none; }
table.many .passed { color: var(--body-text-color-subdued); }
table.many .broken td { color: #8f1d1d; }
.dark table.many .broken td { color: #ffb4b4; }
abbr[title] { text-decoration: none; }
.many-pager { display: flex; justify-content: flex-end; align-items: center; gap: 12px; padding: 8px 2px 0; font-size: .88rem; }
.many-pager button { padding: 4px 12px; border: 1px solid var(--border-color-primary); border-radius: 6px; cursor: pointer;
  background: var(--block-background-fill); color: var(--body-text-color); }
.many-pager button:disabled { opacity: .45; cursor: default; }
.many-figures .headline { display: flex; flex-wrap: wrap; gap: 4px 24px; margin: 0 0 4px; }
.many-figures .headline b { font-size: 1.15rem; font-weight: 650; }
.many-figures .pair { display: flex; flex-wrap: wrap; gap: 8px 28px; overflow-x: auto; contain: inline-size; margin-top: 8px; }
table.figures { border-collapse: collapse; font-size: .84rem; font-variant-numeric: tabular-nums; }
table.figures caption { text-align: left; font-weight: 600; padding-bottom: 4px; }
table.figures th, table.figures td { padding: 3px 9px; text-align: right; border-bottom: 1px solid var(--border-color-primary); }
table.figures th { font-weight: 600; }
table.figures td.count { background: rgb(from var(--primary-500) r g b / calc(var(--share, 0) * .55)); }
table.figures td.right { font-weight: 700; }
@media (max-width: 640px) {
  .many-scroll { max-height: 62vh; }
  table.many tbody td, table.many tbody th { padding: 5px 7px; }
  table.many .file { min-width: 9ch; max-width: 9ch; white-space: normal; overflow-wrap: anywhere; }
  table.many small.file { display: none; }
  table.figures { font-size: .76rem; }
  table.figures th, table.figures td { padding: 3px 4px; }
  table.many .share { min-width: 80px; }
  table.many .photo { gap: 6px; }
}
"""

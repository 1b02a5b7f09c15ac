"""The medians as an SVG picture: one panel of bars for each row. Readable on light and dark pages."""
from dataclasses import dataclass
from html import escape

import results

COLUMNS = 2
PANEL_WIDTH, MARGIN = 450, 24
LABEL_WIDTH, VALUE_WIDTH = 180, 60
TITLE_HEIGHT, BAR_STEP, BAR_HEIGHT, PANEL_GAP = 30, 20, 13, 22

STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #1f2328 }
  .title { font-weight: 600; font-size: 13px }
  .value { font-variant-numeric: tabular-nums }
  .page { fill: #ffffff }
  .ours { fill: #0969da }
  .other { fill: #8c959f }
  .plain { fill: #c4ccd4 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .page { fill: #0d1117 }
    .ours { fill: #4493f8 }
    .other { fill: #7d8590 }
    .plain { fill: #3d444d }
  }
"""


@dataclass
class Panel:
    """Figures of one row: bars are (kind, label, figure, text)."""
    title: str
    bars: list


def bar_kind(name):
    return "ours" if name.startswith("culvert") else "plain" if name == "plain" else "other"


def panels(result):
    for row, figures in results.rows_of(result["medians"]):
        if not row.in_picture:
            continue
        words = results.cells(result["medians"], row, figures)
        bars = [(bar_kind(name), result["contenders"][name]["title"], figure, shown)
                for (name, figure), shown in zip(figures.items(), words) if figure is not None]
        yield Panel(row.label + (" (less is better)" if row.less_is_better else ""), bars)


def panel_height(panel):
    return TITLE_HEIGHT + BAR_STEP * len(panel.bars) + PANEL_GAP


def text(x, y, words, kind="", anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def draw(panel, left, top):
    """The SVG elements of one panel whose upper left corner is there."""
    most = max(figure for _, _, figure, _ in panel.bars) or 1
    room = PANEL_WIDTH - LABEL_WIDTH - VALUE_WIDTH
    elements = [text(left, top + 14, panel.title, "title")]
    for number, (kind, label, figure, words) in enumerate(panel.bars):
        y, width = top + TITLE_HEIGHT + number * BAR_STEP, max(1.0, room * figure / most)
        elements += [text(left + LABEL_WIDTH - 8, y + 11, label, anchor="end"),
                     f'<rect x="{left + LABEL_WIDTH}" y="{y}" width="{width:.1f}" height="{BAR_HEIGHT}" rx="2" class="{kind}"/>',
                     text(left + LABEL_WIDTH + width + 6, y + 11, words, "value")]
    return elements


def svg(result):
    """The whole picture."""
    drawn, top = [], MARGIN
    every = list(panels(result))
    for start in range(0, len(every), COLUMNS):
        line = every[start:start + COLUMNS]
        for column, panel in enumerate(line):
            drawn += draw(panel, MARGIN + column * (PANEL_WIDTH + MARGIN), top)
        top += max(panel_height(panel) for panel in line)
    width = MARGIN + COLUMNS * (PANEL_WIDTH + MARGIN)
    about = escape(results.machine_line(result))
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top}" width="{width}" height="{top}" role="img">',
                      f"<title>culvert and others: {about}</title>", f"<style>{STYLE}</style>",
                      f'<rect class="page" width="{width}" height="{top}" rx="6"/>', *drawn, "</svg>", ""])

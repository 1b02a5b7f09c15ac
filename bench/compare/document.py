"""The figures in docs/performance.md, between two marks, and the picture beside it."""
from pathlib import Path

import picture
import results

FOLDER = Path(__file__).resolve().parents[2] / "docs"
PAGE, PICTURE = FOLDER / "performance.md", FOLDER / "performance.svg"
BEGIN, END = "<!-- begin of what scripts/bench --write-docs writes -->", "<!-- end of it -->"


def markdown_table(head, lines):
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *lines))


def versions(result):
    return "\n".join(f"- **{entry['title']}**: {entry['version']}" for entry in result["contenders"].values())


def figures(result):
    """What stands between the marks."""
    middle = result["medians"]
    titles = {name: entry["title"] for name, entry in result["contenders"].items()}
    parts = [results.machine_line(result) + ".", versions(result), f"![the medians as bars]({PICTURE.name})",
             markdown_table(["medians", *titles.values()],
                            [[row.label, *results.cells(middle, row, found)] for row, found in results.rows_of(middle)]),
             results.AT_LEAST]
    others = [name for name in titles if name != results.SUBJECT]
    quotients = [[row.label, *(results.shown(found[name]) for name in others)] for row, found in results.ratios(middle)]
    if quotients:
        parts.append(markdown_table(["culvert's GRE tunnel : the other", *(titles[name] for name in others)], quotients))
    return "\n\n".join(parts)


def write(result):
    """Puts the figures into the page and draws the picture."""
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{PAGE.name} has lost its marks: {BEGIN} … {END}")
    PAGE.write_text(f"{before}{BEGIN}\n{figures(result)}\n{END}{after}")
    PICTURE.write_text(picture.svg(result))

"""Small pieces of HTML: what is a plain string is escaped, wherever it stands."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["Html", "bars", "figure", "notebook", "page", "picture", "sparkline", "table", "tag"]

BARE = frozenset(("meta", "img"))
# On white and on black alike, their contrast is above 3.
BLUE, ORANGE, GREY = "#2783c9", "#d9620b", "rgba(128,128,128,.4)"

NOTEBOOK = f"""
div.fastnn table {{ border-collapse: collapse; margin: .4em 0; color: inherit; background: none; font-size: 90% }}
div.fastnn tr, div.fastnn tr:nth-child(even), div.fastnn tr:hover {{ background: none; color: inherit }}
div.fastnn th, div.fastnn td {{ padding: .2em .7em; border: 0; border-bottom: 1px solid {GREY}; text-align: right;
  color: inherit; white-space: nowrap; font-variant-numeric: tabular-nums }}
div.fastnn th {{ font-weight: 600 }}
div.fastnn .left {{ text-align: left }}
div.fastnn .scroll {{ overflow: auto; max-width: 100% }}
div.fastnn p {{ margin: .2em .7em; color: inherit }}
div.fastnn svg {{ vertical-align: middle }}
"""

PAGE = """
:root { color-scheme: light dark; --text: #1b1f24; --soft: #57606a; --ground: #fff; --line: #d4d9de; --head: #f3f5f7;
  --bad: #a40e26; --badground: #ffe9e9; --warn: #7a4b00; --warnground: #fff3d6; --good: #1a6333; --link: #0b5cad }
@media (prefers-color-scheme: dark) { :root { --text: #e3e7eb; --soft: #a3adb8; --ground: #14171b; --line: #3a424b;
  --head: #20262c; --bad: #ff9a9a; --badground: #471d20; --warn: #f2cc75; --warnground: #3d3115; --good: #7fd69a;
  --link: #7bb8f5 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--ground); color: var(--text); line-height: 1.5;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; overflow-wrap: break-word }
main, header, footer { max-width: 62rem; margin: 0 auto; padding: 0 1rem }
header { padding-top: 1.5rem }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .3rem }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; padding-bottom: .2rem; border-bottom: 1px solid var(--line) }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem }
p { margin: .5rem 0; max-width: 46rem }
a { color: var(--link) }
nav a { display: inline-block; padding: .25rem .9rem .25rem 0 }
footer, .soft { color: var(--soft); font-size: .9rem }
footer { margin-top: 2.5rem; padding-bottom: 2rem }
.scroll { overflow-x: auto; max-width: 100%; margin: .6rem 0 }
.scroll:focus { outline: 2px solid var(--link) }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums }
th, td { padding: .28rem .7rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap }
th { font-weight: 600 }
thead th { background: var(--head) }
.left { text-align: left }
.facts th { width: 11rem; font-weight: 500; color: var(--soft); vertical-align: top }
.facts td, .facts th { text-align: left; white-space: normal }
.facts { width: 100% }
.bad { color: var(--bad); background: var(--badground); font-weight: 600 }
.warn { color: var(--warn); background: var(--warnground) }
.good { color: var(--good) }
.said { border-left: 4px solid var(--link); background: var(--head); padding: .6rem .9rem; max-width: none }
.said.bad { border-color: var(--bad) }
.said.warn { border-color: var(--warn) }
.pictures { display: flex; flex-wrap: wrap; gap: .8rem; margin: .8rem 0 }
figure { margin: 0; max-width: 100% }
figure img { display: block; max-width: 100%; height: auto; background: #fff; border-radius: 4px; padding: 4px }
@media (prefers-color-scheme: dark) { figure img { filter: brightness(.9) } }
summary { cursor: pointer; color: var(--link) }
@media (max-width: 30rem) { .facts th { width: 7.5rem } th, td { padding: .28rem .5rem }
  main, header, footer { padding-left: .75rem; padding-right: .75rem } }
@media print { nav { display: none } .scroll { overflow: visible } }
"""


class Html(str):
    """Markup, which is not escaped again."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return self


def tag(name: str, /, *content: Any, **attributes: Any) -> Html:
    """An element; `class_` is the attribute ``class``, ``aria_label`` is ``aria-label``, None is left out."""
    given = "".join(f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
                    for key, value in attributes.items() if value is not None)
    inner = "".join(part if isinstance(part, Html) else html.escape(str(part)) for part in content)
    return Html(f"<{name}{given}>" if name in BARE else f"<{name}{given}>{inner}</{name}>")


def figure(value: float) -> str:
    """A number as the table of `fit` has it."""
    if not math.isfinite(value):
        return f"{value}"
    return f"{value:.2e}" if 0 < abs(value) < 1e-3 or abs(value) >= 1e7 else f"{value:.4f}"


def table(header: Sequence[Any], rows: Iterable[Sequence[Any]], left: int = 1, *, label: str = "table",
          facts: bool = False) -> Html:
    """A table in a box of its own that scrolls; its first `left` columns are text.

    A cell ``(text, "bad")`` has that class too. `label` is for those who hear the page. `facts`: each row is a name
    and what it says.
    """
    head = [tag("thead", tag("tr", *(tag("th", cell, scope="col", class_="left" if i < left else None)
                                     for i, cell in enumerate(header))))] if header else []
    body = tag("tbody", *(tag("tr", *(_cell(cell, i, left) for i, cell in enumerate(row))) for row in rows))
    return tag("div", tag("table", *head, body, class_="facts" if facts else None), class_="scroll",
               tabindex=None if facts else 0, role=None if facts else "region", aria_label=None if facts else label)


def _cell(cell: Any, column: int, left: int) -> Html:
    content, kind = cell if isinstance(cell, tuple) else (cell, "")
    classes = " ".join(filter(None, ["left" if column < left else "", kind]))
    return tag("td" if column else "th", content, scope=None if column else "row", class_=classes or None)


def picture(data: bytes, kind: str, alt: str, width: int | None = None) -> Html:
    """A picture inside the page; `kind` as in ``image/png``."""
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return tag("figure", tag("img", src=source, alt=alt, width=width))


def sparkline(series: Sequence[Sequence[float]], width: int = 120, height: int = 24) -> Html:
    """Curves over the same epochs, the first blue, the second orange and dashed; what is not finite is left out."""
    finite = [value for values in series for value in values if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    scale, step = (height - 4) / ((high - low) or 1.0), (width - 4) / max(1, max(map(len, series), default=1) - 1)
    lines = []
    for values, colour, dashes in zip(series, (BLUE, ORANGE), (None, "4 2"), strict=False):
        every = max(1, len(values) // width)  # more points than pixels are lost on the eye
        points = " ".join(f"{2 + i * step:.1f},{2 + (high - values[i]) * scale:.1f}"
                          for i in range(0, len(values), every) if math.isfinite(values[i]))
        lines.append(tag("polyline", points=points, fill="none", stroke=colour, stroke_width=1.5,
                         stroke_dasharray=dashes))
    return tag("svg", *lines, width=width, height=height, viewBox=f"0 0 {width} {height}", role="img",
               aria_label=f"curve from {figure(high)} at most to {figure(low)} at least" if finite else "no numbers")


def bars(part: float, width: int = 160) -> Html:
    """How much is done, from 0 to 1."""
    part = min(1.0, max(0.0, part))
    return tag("svg", tag("rect", width=width, height=10, rx=3, fill=GREY),
               tag("rect", width=round(part * width), height=10, rx=3, fill=BLUE),
               width=width, height=10, viewBox=f"0 0 {width} 10", role="img", aria_label=f"{part:.0%}")


def notebook(*content: Any) -> str:
    """What a notebook shows, in the notebook's own colours."""
    return tag("div", tag("style", Html(NOTEBOOK)), *content, class_="fastnn")


def page(title: str, *content: Any) -> str:
    """A whole document, which needs nothing from elsewhere."""
    head = tag("head", tag("meta", charset="utf-8"), tag("title", title),
               tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
               tag("meta", http_equiv="Content-Security-Policy",
                   content="default-src 'none'; img-src data:; style-src 'unsafe-inline'"),
               tag("style", Html(PAGE)))
    return f"<!DOCTYPE html>\n{tag('html', head, tag('body', *content), lang='en')}\n"

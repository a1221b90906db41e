"""What every HTML page of the kit shares: escaping, and a frame that needs no other file."""

import html

FRAME_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #767676;
  --good: #1a7f37; --bad: #cf222e; --note: #9a6700; }
@media (prefers-color-scheme: dark) {
  :root { --soft: #9a9a9a; --good: #4ac26b; --bad: #ff8182; --note: #d4a72c; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
p.sub { margin-top: .2rem; color: var(--soft); overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; } th { text-align: left; color: var(--soft); }
th, td { padding: .45rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
td { overflow-wrap: anywhere; } td.n { text-align: right; font-variant-numeric: tabular-nums; }
.good { color: var(--good); } .spoils { color: var(--bad); } .note { color: var(--note); }
"""


def printable(text: str) -> str:
    """Without control characters: a file's name must not steer the terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def safe(text: object) -> str:
    """Text for a page, whatever it holds: control characters replaced, HTML escaped."""
    return html.escape(printable(str(text)))


def frame(title: str, body: str, style: str = "") -> str:
    """A whole page; `title` is escaped here, `body` is HTML already."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{safe(title)}</title><style>{FRAME_STYLE}{style}</style></head><body>"
        f"{body}</body></html>\n"
    )

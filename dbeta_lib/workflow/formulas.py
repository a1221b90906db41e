"""Formulas of a page as MathML, which a browser draws without MathJax and so without a network."""

import re

from jinja2 import pass_context
from latex2mathml import exceptions
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

# latex2mathml gives its errors no class of their own, and of a command without its argument it
# lets its own end of the text through.
REFUSED = (*(each for each in vars(exceptions).values() if isinstance(each, type)), StopIteration)

_FUNCTION = re.compile(r"(<mi>(?:cos|exp|ln|log|max|min|sin)</mi>)(?=<m(?:i|n|sub|sup)>)")


class Renderer(IPythonRenderer):
    """Markdown's HTML; a formula that cannot be converted stays as LaTeX, for MathJax."""

    def block_math(self, body: str) -> str:
        return self._mathml(body, "block") or super().block_math(body)

    def inline_math(self, body: str) -> str:
        return self._mathml(body, "inline") or super().inline_math(body)

    @staticmethod
    def _mathml(body: str, display: str) -> str:
        try:
            found = convert(body, display=display)
        except REFUSED:
            return ""
        return _FUNCTION.sub(r'\1<mspace width="0.17em"></mspace>', found)  # "ln x", not "lnx"


class Exporter(HTMLExporter):
    """A notebook as one page whose formulas need nothing from elsewhere."""

    @pass_context
    def markdown2html(self, context, source: str) -> str:
        renderer = Renderer(escape=False, attachments=context["cell"].get("attachments", {}))
        return MarkdownWithMath(renderer=renderer).render(source)

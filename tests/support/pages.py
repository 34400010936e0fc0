"""Blocks of code in the documents, to be run as they stand."""

import re

from .server import ROOT


def snippet(page, language, holding):
    """The one block of the page in that language with that word in it."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / page).read_text(), re.M | re.S)
    (found,) = [b for b in blocks if holding in b]
    return found

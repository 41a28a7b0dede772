"""Size limits of a script: more than anyone writes by hand, yet small enough to check in seconds."""

from __future__ import annotations

import re

MOST_BYTES = 4_000_000
"""Of a script and the files that it uses."""
MOST_WORDS = 300_000
"""Words, strings, signs, comments and lines of a script and the files that it uses: GPT-2's whole graph with
scores, an edge a line, is some 260,000."""
LONGEST_NAME = 200
"""Characters of a name or a number."""
MOST_SHOWN = 100
"""Errors that are shown; the others are counted."""
MOST_NODES = 1_000_000
"""Of a graph whose nodes and edges the check looks at one by one."""
MOST_MEMBERS = 1000
"""Numbers in a list that makes a family."""
MOST_IN_ALL = 100_000
"""Members of all families, and claims about them."""

# A string, a comment, an arrow, a number, a word, a line's end, any other sign.
_WORD = re.compile(
    r'"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"?|#[^\n]*+|->|-?\d++(?:\.\d++)?(?:[eE][+-]?\d++)?(?!\w)|\w++|\n|[^\s\w]'
)


def passed(text: str, words: int) -> tuple[int, int, str | None]:
    """How far a text goes before it is too much: words in all, a place, and what is wrong there, if it is.

    Args:
        text: of a script.
        words: how many there were in other files.
    """
    for match in _WORD.finditer(text):
        words += 1
        if words > MOST_WORDS:
            problem = f"script too long: at most {MOST_WORDS:,} words and symbols are allowed"
            return words, match.start(), problem
        if match.end() - match.start() > LONGEST_NAME and match[0][0] not in '"#':
            problem = f"name or number too long: at most {LONGEST_NAME} characters are allowed"
            return words, match.start(), problem
    return words, 0, None

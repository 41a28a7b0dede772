"""Templates: taking them apart, and filling them in so that every slot is a span of tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

from nncirc.circuits.errors import DataError
from nncirc.circuits.names import Position
from nncirc.dsl.check import program
from nncirc.engine.data.encoding import decode, encode, quote
from nncirc.engine.data.examples import Field, Span, Template, Tokenizer, Tokens, Value
from nncirc.engine.data.tokens import Frame, check_doubled, find_span, one_token, tokens_after

RESERVED = ("start", "end")
"""Names of positions; no slot can have them."""


def parse_template(text: str) -> Template:
    """Take a template apart into text and fields.

    Adjacent text is one part; `{{` and `}}` stand for braces.

    >>> parse_template("When {S} left")
    ('When ', Field(slot='S'), ' left')

    Raises:
        DataError: C311, a brace without its partner, or no name between two.
    """
    try:
        parts = program.Template.parse(text).parts
    except ValueError as error:
        problem, advice, place = error.args
        raise _malformed(text, place, problem, advice) from None
    return tuple(part if isinstance(part, str) else Field(part.slot) for part in parts)


def _malformed(text: str, place: int, what: str, hint: str) -> DataError:
    # Long enough to find it: what is around the place.
    first = max(0, place - 60)
    shown = quote(text[first : place + 60])
    indent = len(quote(text[first:place])) - 1
    return DataError("C311", f"invalid template: {what}\n    {shown}\n    {' ' * indent}^", hint=hint)


def unparse(template: Template) -> str:
    """The template as it is written.

    >>> unparse(parse_template("{{{S}}}"))
    '{{{S}}}'
    """
    return "".join(
        f"{{{part.slot}}}" if isinstance(part, Field) else part.replace("{", "{{").replace("}", "}}")
        for part in template
    )


def occurrences(template: Template) -> tuple[Position, ...]:
    """Every slot of a template as often as it occurs, in order.

    >>> occurrences(parse_template("{S} and {IO}, {S}"))
    (Position(name='S', occurrence=1), Position(name='IO', occurrence=1), Position(name='S', occurrence=2))
    """
    seen: dict[str, int] = {}
    found = []
    for part in template:
        if isinstance(part, Field):
            seen[part.slot] = seen.get(part.slot, 0) + 1
            found.append(Position(part.slot, seen[part.slot]))
    return tuple(found)


def name_of(occurrence: Position, among: Iterable[Position]) -> str:
    """`S.2`, or plain `IO` for the only occurrence of a slot."""
    alone = sum(other.name == occurrence.name for other in among) <= 1
    return occurrence.name if alone else str(occurrence)


@dataclass(frozen=True, slots=True)
class Rendered:
    """A template filled in.

    Attributes:
        text: the prompt, blocks of tokens decoded.
        tokens: what the model gets.
        spans: where every occurrence of a slot is among the tokens.
        tail: the text that an answer follows: the prompt, or what comes after its last block.
        blocks: whether there are blocks, so that the tail does not begin the prompt.
    """

    text: str
    tokens: Tokens
    spans: Mapping[Position, Span]
    tail: str
    blocks: bool


def render(
    tokenizer: Tokenizer, frame: Frame, template: Template, value_of: Callable[[Position], Value]
) -> Rendered:
    """Fill a template in and tokenize it.

    A prompt of text alone is tokenized as one text. Around blocks of tokens, each run of text is
    tokenized by itself, behind a block as it reads inside a text, and what the tokenizer adds to a prompt is
    put around the whole.

    Raises:
        DataError: C306, C307, C311 (the prompt is empty), C319.
    """
    among = occurrences(template)
    numbered = iter(among)
    parts = [
        (part, None) if isinstance(part, str) else (value_of(at := next(numbered)), at) for part in template
    ]
    spans: dict[Position, Span] = {}
    has_blocks = any(not isinstance(value, str) for value, _ in parts)
    tokens = list(frame.prefix) if has_blocks else []
    text = tail = ""
    for number, (is_text, run) in enumerate(groupby(parts, key=lambda part: isinstance(part[0], str))):
        tail = ""
        slots: list[tuple[Position, Span]] = []
        for value, occurrence in run:
            if isinstance(value, str):
                slots += [(occurrence, (len(tail), len(tail) + len(value)))] if occurrence else []
                tail += value
            elif occurrence:
                spans[occurrence] = (len(tokens), len(tokens) + len(value))
                tokens += value
                text += decode(tokenizer, value)
        if is_text:
            encoded = encode(tokenizer, tail, added=not has_blocks, inside=number > 0)
            for occurrence, characters in slots:
                start, stop = find_span(tokenizer, encoded, characters, slot=name_of(occurrence, among))
                spans[occurrence] = (start + len(tokens), stop + len(tokens))
            tokens += encoded.ids
            text += tail
    tokens += frame.suffix if has_blocks else ()
    if len(tokens) <= len(frame.prefix) + len(frame.suffix):
        raise DataError("C311", f"the prompt {quote(text)} has no tokens", hint="write something in it")
    check_doubled(tokenizer, frame, tuple(tokens))
    ordered = {occurrence: spans[occurrence] for occurrence in among}
    return Rendered(text, tuple(tokens), ordered, tail, has_blocks)


def filled(template: Template, values: Mapping[str, Value]) -> list[Value]:
    """A template's pieces, in order."""
    return [values[part.slot] if isinstance(part, Field) else part for part in template]


def filled_text(template: Template, values: Mapping[str, Value]) -> str | None:
    """A template's text, or None if a block of tokens is in it."""
    pieces = filled(template, values)
    texts = [piece for piece in pieces if isinstance(piece, str)]
    return "".join(texts) if len(texts) == len(pieces) else None


def answer_token(
    tokenizer: Tokenizer, template: Template, values: Mapping[str, Value], prompt: Rendered, *, what: str
) -> int:
    """The one token that an answer's template stands for behind a prompt.

    Raises:
        DataError: C303.
    """
    text = filled_text(template, values)
    if text is not None:
        return one_token(tokenizer, prompt.tail, text, what=what, inside=prompt.blocks)
    tokens = _block(template, values)
    if len(tokens) != 1:
        raise DataError(
            "C303",
            f"the {what} {quote(unparse(template))} must be one token, but contains a block of random tokens",
            hint="use one slot of random_tokens(1) alone",
        )
    return tokens[0]


def answer_tokens(
    tokenizer: Tokenizer, template: Template, values: Mapping[str, Value], prompt: Rendered
) -> Tokens:
    """All tokens that an answer's template stands for behind a prompt.

    Raises:
        DataError: C303, a word is unknown, or a block of random tokens does not stand alone.
    """
    text = filled_text(template, values)
    if text is not None:
        return tokens_after(tokenizer, prompt.tail, text, inside=prompt.blocks)
    tokens = _block(template, values)
    if not tokens:
        raise DataError(
            "C303",
            f"the answer {quote(unparse(template))} mixes a block of random tokens with text",
            hint="use one slot of random tokens alone",
        )
    return tokens


def _block(template: Template, values: Mapping[str, Value]) -> Tokens:
    """The tokens of a template that is one block of them; else none."""
    value = values[template[0].slot] if len(template) == 1 and isinstance(template[0], Field) else ""
    return () if isinstance(value, str) else value

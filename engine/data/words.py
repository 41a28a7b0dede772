"""Which words of a named list are one token of a tokenizer in every place where prompts use them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from nncirc.circuits.errors import DataError
from nncirc.engine.data.encoding import encode_raw, quote, unknown_ids
from nncirc.engine.data.examples import Field, Template, Tokenizer, Value
from nncirc.engine.data.labels import show_tokens
from nncirc.engine.data.render import filled_text
from nncirc.engine.data.sources import Group, slots_need
from nncirc.engine.data.tokens import is_single_token, one_token, tokens_inside


def single_tokens(
    tokenizer: Tokenizer,
    phrasings: Sequence[Template],
    targets: Sequence[Template],
    groups: Sequence[Group],
    listed: str,
) -> tuple[str, ...]:
    """The words of a list that are one token in every place where its slots stand."""
    mine = {name for group in groups if group.listed == listed for name in group.names}
    words = next(group.words for group in groups if group.listed == listed)
    others: dict[str, Value] = {
        name: group.words[0] if group.words else () for group in groups for name in group.names
    }
    kept = dict.fromkeys(words)
    for phrasing in phrasings:
        for before, after, inside in _surroundings(phrasing, mine, others):
            kept = dict.fromkeys(_one_token_between(tokenizer, tuple(kept), before, after, inside=inside))
        tail, inside = _last_run(phrasing, others)
        for template in targets:
            if any(isinstance(part, Field) and part.slot in mine for part in template):
                filled = {
                    word: filled_text(template, {**others, **dict.fromkeys(mine, word)}) for word in kept
                }
                kept = dict.fromkeys(_one_token_answers(tokenizer, filled, tail, inside=inside))
    if not kept and sum(len(_alone(tokenizer, word)) == 1 for word in words) > len(words) / 2:
        # Not the words are at fault but what stands around them, which says so itself when it is rendered.
        return tuple(words)
    return tuple(kept)


def _alone(tokenizer: Tokenizer, word: str) -> list[int]:
    """The tokens of a word after a space; none for a word that the tokenizer does not know."""
    (one,) = encode_raw(tokenizer, [f"and {word}"], added=False)
    tokens = [one.ids[i] for i in tokens_inside(one, (4, 4 + len(word)))]
    return tokens if unknown_ids(tokenizer).isdisjoint(tokens) else []


def _surroundings(
    phrasing: Template, mine: set[str], others: Mapping[str, Value]
) -> Iterator[tuple[str, str, bool]]:
    """The text before and after every field of some slots up to the nearest blocks, and is one before it?"""
    for i, part in enumerate(phrasing):
        if isinstance(part, Field) and part.slot in mine:
            before, inside = _last_run(phrasing[:i], others)
            after, _ = _first_run(phrasing[i + 1 :], others)
            yield before, after, inside


def _first_run(template: Template, values: Mapping[str, Value]) -> tuple[str, bool]:
    """The text in front of a template's first block of tokens, and whether there is such a block."""
    text = ""
    for part in template:
        value = values[part.slot] if isinstance(part, Field) else part
        if not isinstance(value, str):
            return text, True
        text += value
    return text, False


def _last_run(template: Template, values: Mapping[str, Value]) -> tuple[str, bool]:
    """The text behind a template's last block of tokens, and whether there is such a block."""
    for i in range(len(template), 0, -1):
        part = template[i - 1]
        if isinstance(part, Field) and not isinstance(values[part.slot], str):
            return filled_text(template[i:], values) or "", True
    return filled_text(template, values) or "", False


def _one_token_between(
    tokenizer: Tokenizer, words: Sequence[str], before: str, after: str, *, inside: bool
) -> list[str]:
    texts = [before + word + after for word in words]
    start = len(before)
    return [
        word
        for word, one in zip(words, encode_raw(tokenizer, texts, added=False, inside=inside), strict=True)
        if is_single_token(tokenizer, one, (start, start + len(word)))
    ]


def _one_token_answers(
    tokenizer: Tokenizer, filled: Mapping[str, str | None], tail: str, *, inside: bool
) -> list[str]:
    """The words of which the answer that they fill in is one token after the tail of a prompt."""
    kept = []
    for word, text in filled.items():
        try:
            if text is not None:
                one_token(tokenizer, tail, text, what="answer", inside=inside)
        except DataError:
            continue
        kept.append(word)
    return kept


def left_out_note(listed: str, left_out: Sequence[str], total: int) -> tuple[str, ...]:
    """A note if words of a list were left out."""
    if not left_out:
        return ()
    some = ", ".join(left_out[:5]) + (", ..." if len(left_out) > 5 else "")
    return (
        f"{len(left_out)} of the {total} words of `{listed}` are left out, "
        f"because they are not one token of this tokenizer wherever the prompts use them: {some}",
    )


def check_kept(
    tokenizer: Tokenizer, listed: str, groups: Sequence[Group], kept: Sequence[str], left_out: Sequence[str]
) -> None:
    """Refuse a word list of which too few words are left for the slots that are drawn from it.

    Raises:
        DataError: C309.
    """
    for group in groups:
        if group.listed != listed or len(kept) >= len(group.names):
            continue
        word = left_out[0]
        (one,) = encode_raw(tokenizer, [f"and {word}"], added=False)
        tokens = [one.ids[i] for i in tokens_inside(one, (4, 4 + len(word)))]
        unknown = not unknown_ids(tokenizer).isdisjoint(tokens)
        pieces = ", ".join(show_tokens(tokenizer, tokens))
        is_so = "is unknown to it" if unknown else f"is {len(tokens)} after a space: {pieces}"
        raise DataError(
            "C309",
            f"{len(kept)} of the {len(kept) + len(left_out)} words of `{listed}` are one token of this "
            f"tokenizer wherever the prompts use them, and {slots_need(group.names)} {len(group.names)}; "
            f"{quote(word)}, for one, {is_so}",
            hint="write out words that are one token of this tokenizer, or as many tokens as each other",
            about=group.names[0],
        )

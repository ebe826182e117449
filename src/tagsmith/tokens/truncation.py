"""Tokenise only the part of a long document that is read, where this does not change the tokens.

BERT's normaliser works on characters and its pre-tokeniser splits at white space before WordPiece sees a word, so the
tokens of a text are those of its two parts if it is cut before a space or a line end. If the first part has more tokens
than are read of the head (and the last part more than are read of the tail), the rest need not be tokenised. Other
tokenisers look across white space, and windows need the number of all tokens: there documents are tokenised whole.
"""

from collections.abc import Sequence

from tokenizers import Tokenizer

from tagsmith.tokens.windows import ToIds, WindowRule, ids_by, room_for

CHARACTERS = 8
"""Characters to tokenise per token needed. Plain text has 4 to 6 per token; if a part has too few tokens, the document
is tokenised whole."""


def ids_as_read(tokenizer: Tokenizer, rule: WindowRule) -> ToIds:
    """A function from texts to token ids without special tokens: all ids, or fewer from which `rule` reads the same.

    A document that does not fit its window keeps at least one token too many, so that it still counts as truncated.
    """
    whole = ids_by(tokenizer)
    if rule.long_documents not in ("head", "head_tail") or not _cuts_at_white_space(tokenizer):
        return whole
    room = room_for(tokenizer, rule)
    tail = room // 2 if rule.long_documents == "head_tail" else 0
    head = room - tail
    first, last = CHARACTERS * (head + 1), CHARACTERS * (tail + 1) if tail else 0

    def as_read(texts: Sequence[str]) -> list[list[int]]:
        starts, ends = list(texts), {}
        for i, text in enumerate(texts):
            if len(text) > first + last:
                stop = max(text.rfind(" ", 0, first), text.rfind("\n", 0, first))
                start = _first_space(text, len(text) - last) if tail else len(text)
                if stop > 0 and start >= 0:
                    starts[i], ends[i] = text[:stop], text[start:]
        ids = whole(starts)
        if not ends:
            return ids
        tails = whole(list(ends.values())) if tail else [[] for _ in ends]
        too_short = []
        for i, end in zip(ends, tails, strict=True):
            if len(ids[i]) > head and (not tail or len(end) > tail):
                ids[i] = ids[i][: head + 1] + (end[-tail:] if tail else [])
            else:
                too_short.append(i)
        for i, found in zip(too_short, whole([texts[i] for i in too_short]), strict=True):
            ids[i] = found
        return ids

    return as_read


def _first_space(text: str, after: int) -> int:
    found = [place for place in (text.find(" ", after), text.find("\n", after)) if place >= 0]
    return min(found, default=-1)


def _cuts_at_white_space(tokenizer: Tokenizer) -> bool:
    """Whether it is BERT's, and no added token holds white space or characters that the normaliser may change."""
    parts = [type(part).__name__ for part in (tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.model)]
    added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    return parts == ["BertNormalizer", "BertPreTokenizer", "WordPiece"] and all(
        content.isascii() and not any(character.isspace() for character in content) for content in added
    )

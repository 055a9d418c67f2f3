"""Byte-pair encoding: text in pieces that were frequent in a training text (lesson 13)."""

import re
from collections import Counter

END = "<end>"                                          # token 0: ends a text, and so begins the next
WORD = r" ?[^\W\d]+| ?\d| ?[^\w\s]+|\s"                # merges never cross these: words, single digits, marks, spaces
_PRINTABLE = [*range(33, 127), *range(161, 173), *range(174, 256)]
_OTHERS = [byte for byte in range(256) if byte not in _PRINTABLE]
LETTERS = dict(zip(_PRINTABLE + _OTHERS, map(chr, _PRINTABLE + [256 + n for n in range(len(_OTHERS))])))
BYTES = {letter: byte for byte, letter in LETTERS.items()}


def spell(word):
    """The bytes of a word as visible letters, one for each byte (Radford et al. 2019): " red" -> "Ġred"."""
    return [LETTERS[byte] for byte in word.encode("utf-8")]


def merged(symbols, pair):
    """The symbols with every neighboring `pair` joined, from left to right."""
    out, i = [], 0
    while i < len(symbols):
        both = tuple(symbols[i:i + 2]) == pair
        out.append("".join(pair) if both else symbols[i])
        i += 1 + both
    return out


class BPE:
    """A byte-level BPE tokenizer (Sennrich et al. 2016; Radford et al. 2019).

    `merges` is a list of pairs of strings, the earliest first. Token 0 is END, tokens 1 to 256 are
    the bytes, the rest the merges' results. Any text can be encoded, and decodes to itself.
    """

    def __init__(self, merges):
        self.ranks = {tuple(pair): rank for rank, pair in enumerate(merges)}
        self.tokens = list(dict.fromkeys([END, *LETTERS.values(), *map("".join, self.ranks)]))
        self.ids = {token: i for i, token in enumerate(self.tokens)}
        self.cache = {}                                # word -> its ids: words come again and again

    @classmethod
    def train(cls, texts, vocab_size):
        """Join the most frequent pair, on a tie the smaller ids, until vocab_size is reached."""
        counts = Counter(word for text in texts for word in re.findall(WORD, text))
        words = {word: spell(word) for word in counts}         # each word in its tokens
        bpe, merges = cls([]), []
        while len(bpe.tokens) < vocab_size:
            pairs = Counter()
            for word, symbols in words.items():
                for pair in zip(symbols, symbols[1:]):
                    pairs[pair] += counts[word]
            if not pairs:
                break
            best = min(pairs, key=lambda pair: (-pairs[pair], *map(bpe.ids.get, pair)))
            words = {word: merged(symbols, best) for word, symbols in words.items()}
            merges.append(best)
            if (token := "".join(best)) not in bpe.ids:        # two ways may lead to one token
                bpe.ids[token] = len(bpe.tokens)
                bpe.tokens.append(token)
        return cls(merges)

    def split(self, word):
        """A word in tokens: start from its bytes, always apply the merge that was learned first."""
        symbols = spell(word)
        while known := [pair for pair in zip(symbols, symbols[1:]) if pair in self.ranks]:
            symbols = merged(symbols, min(known, key=self.ranks.get))
        return symbols

    def encode(self, text):
        """text -> list of token ids, without END."""
        out = []
        for word in re.findall(WORD, text):
            if word not in self.cache:
                self.cache[word] = [self.ids[token] for token in self.split(word)]
            out += self.cache[word]
        return out

    def decode(self, ids):
        """Token ids -> text; END is left out, bytes that are no UTF-8 become the replacement mark."""
        letters = "".join(self.tokens[i] for i in ids if i)
        return bytes(BYTES[letter] for letter in letters).decode("utf-8", errors="replace")

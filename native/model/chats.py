"""Writes the short chats that the tiny model learns from.

The text itself is data, in topics.toml. This file picks topics, fills in the templates, makes the
questions as untidy as people write them, and strings exchanges together into conversations. It
knows no tokens. Everything follows from the random generator that is passed in.

Run it to read a few conversations:  python chats.py --seed 1 --count 3
"""

import argparse
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

TOPICS = Path(__file__).with_name("topics.toml")


@dataclass(frozen=True)
class Message:
    role: str  # "system", "user" or "assistant"
    text: str
    learn: bool = True  # False for an answer that breaks off: the model should not learn to do so


class Chats:
    """Conversations without end, all different, all determined by the generator."""

    def __init__(self, path: Path = TOPICS):
        self.book = tomllib.loads(path.read_text(encoding="utf-8"))
        self.topics = self.book["topic"]
        self.weights = [topic.get("weight", 1) for topic in self.topics]

    def conversation(self, rng: Random) -> Iterator[list[Message]]:
        """Yields a system message or nothing, then one exchange after another, for ever."""
        talk = Talk()
        if rng.random() < 0.35:
            words = Words(self.book["words"], rng)
            prompt = rng.choice(self.book["system"]["prompts"])
            if "The user is called" in prompt:
                talk.person = words["person"]
            yield [Message("system", expand(prompt, words, rng))]
        else:
            yield []
        while True:
            yield self.exchange(talk, rng)

    def exchange(self, talk: "Talk", rng: Random) -> list[Message]:
        kinds, percents = zip(*self.book["percent"].items())
        kind = rng.choices([*kinds, "topic"], [*percents, 100 - sum(percents)])[0]
        return getattr(self, f"_{kind}")(talk, rng)

    def _topic(self, talk: "Talk", rng: Random) -> list[Message]:
        topic = rng.choices(self.topics, self.weights)[0]
        words = Words(self.book["words"], rng)
        ask, answer = self._ask(topic, words, rng), rng.choice(topic["answers"])
        if topic["name"] == "name given":
            talk.person = words["person"]
        talk.topic, talk.said = topic, answer
        # A name or a made-up hero is copied into the answer, so it must stand in the question as it is.
        copied = "$" in answer
        return exchange(tidy(ask, rng) if copied else untidy(ask, rng), expand(answer, words, rng))

    def _ask(self, topic: dict, words: "Words", rng: Random) -> str:
        terms, asks = topic.get("terms", []), topic.get("asks", [])
        if terms and rng.random() < 0.6:
            words.fixed["term"] = rng.choice(terms)
            return expand(rng.choice(self.book["frames"]["about"]), words, rng)
        return expand(rng.choice(asks), words, rng)

    def _unknown(self, talk: "Talk", rng: Random) -> list[Message]:
        words = Words(self.book["words"], rng)
        unknown = self.book["unknown"]
        chance = rng.random()
        if chance < 0.08:
            ask = gibberish(rng)
        elif chance < 0.5:
            ask = expand(rng.choice(self.book["frames"]["about"]), words, rng)
        else:
            ask = expand(rng.choice(unknown["asks"]), words, rng)
        talk.topic, talk.said = unknown, rng.choice(unknown["answers"])
        return exchange(untidy(ask, rng), expand(talk.said, words, rng))

    def _more(self, talk: "Talk", rng: Random) -> list[Message]:
        words = Words(self.book["words"], rng)
        ask = untidy(expand(rng.choice(self.book["frames"]["more"]), words, rng), rng)
        if talk.topic is None:
            return exchange(ask, rng.choice(self.book["more"]["nothing_before"]))
        others = [answer for answer in talk.topic["answers"] if answer != talk.said]
        has_more = "terms" in talk.topic or talk.topic.get("more") or talk.topic is self.book["unknown"]
        if not has_more or not others:
            return exchange(ask, rng.choice(self.book["more"]["nothing_left"]))
        talk.said = rng.choice(others)
        return exchange(ask, expand(talk.said, words, rng))

    def _continue(self, talk: "Talk", rng: Random) -> list[Message]:
        """An answer that breaks off, and the rest of it when asked to go on."""
        ask, answer = self._topic(talk, rng)
        start, rest = cut(answer.text, rng)
        words = Words(self.book["words"], rng)
        again = expand(rng.choice(self.book["frames"]["continue"]), words, rng)
        return [ask, Message("assistant", start, learn=False), *exchange(tidy(again, rng), rest)]

    def _name(self, talk: "Talk", rng: Random) -> list[Message]:
        words = Words(self.book["words"], rng)
        ask = untidy(expand(rng.choice(self.book["name"]["asks"]), words, rng), rng)
        if talk.person is None:
            return exchange(ask, rng.choice(self.book["name"]["unknown"]))
        words.fixed["person"] = talk.person
        return exchange(ask, expand(rng.choice(self.book["name"]["known"]), words, rng))

    def _repeat(self, talk: "Talk", rng: Random) -> list[Message]:
        words = Words(self.book["words"], rng)
        kinds = rng.choices(["person", "hero", "thing", "place"], k=rng.randint(1, 4))
        words.fixed["text"] = " ".join(Words(self.book["words"], rng)[kind] for kind in kinds)
        talk.topic, talk.said = self.book["repeat"], "$text"
        ask = expand(rng.choice(self.book["repeat"]["asks"]), words, rng)
        return exchange(ask, expand("$text", words, rng))


@dataclass
class Talk:
    """What later exchanges of one conversation refer to."""

    person: str | None = None
    topic: dict | None = None
    said: str | None = None


class Words:
    """The words that stand for `$name` in one exchange: drawn once, then the same everywhere."""

    # How often a made-up word stands for one of the list, so that the model has to look, not to know.
    MADE_UP = {"person": 0.4, "hero": 0.25, "thing": 0.3, "place": 0.2}

    def __init__(self, lists: dict[str, list[str]], rng: Random):
        self.lists, self.rng, self.fixed = lists, rng, {}

    def __getitem__(self, name: str) -> str:
        if name not in self.fixed:
            self.fixed[name] = self._draw(name.rstrip("0123456789"))
        return self.fixed[name]

    def _draw(self, kind: str) -> str:
        kind = "thing" if kind == "term" else kind
        if self.rng.random() < self.MADE_UP[kind]:
            word = made_up(self.rng)
            return word.capitalize() if kind in ("person", "place") else word
        word = self.rng.choice(self.lists[kind])
        return expand(word, self, self.rng)


def exchange(ask: str, answer: str) -> list[Message]:
    return [Message("user", ask), Message("assistant", answer)]


# ---- templates -----------------------------------------------------------------------------------

INNERMOST = re.compile(r"<([^<>]*)>")
SLOT = re.compile(r"\$([a-z]+\d?)")
ARTICLE = re.compile(r"\b(a)(?= \$hero)")


def expand(template: str, words: Words, rng: Random) -> str:
    """Picks one of each `<a|b|>`, from the inside out, and fills in each `$name`."""
    text = template
    while match := INNERMOST.search(text):
        text = text[: match.start()] + rng.choice(match[1].split("|")) + text[match.end() :]
    if "$hero" in text and words["hero"][0] in "aeio":
        text = ARTICLE.sub("an", text)
    return SLOT.sub(lambda slot: words[slot[1]], text)


def cut(text: str, rng: Random) -> tuple[str, str]:
    """Cuts an answer in two, mostly between words, sometimes within one."""
    at = rng.randint(1, max(1, len(text) - 2))
    if rng.random() < 0.7:
        at = text.find(" ", at) if " " in text[at:] else at
    return text[:at], text[at:]


# ---- untidy questions ------------------------------------------------------------------------------

PREFIXES = [
    "hey, ",
    "ok, ",
    "so ",
    "please ",
    "um, ",
    "well, ",
    "and ",
    "quick question: ",
    "I was wondering, ",
    "hello, ",
    "now ",
]
SUFFIXES = [
    " please",
    " pls",
    " thanks",
    " I am curious",
    " lol",
    " :)",
    ", please",
    " thx",
    " now",
    " again",
    " dude",
]
SHORT = [
    ("what is", "whats"),
    ("what is", "what's"),
    ("you", "u"),
    ("are", "r"),
    ("please", "plz"),
    ("do not", "dont"),
    ("I am", "im"),
    ("is it", "is that"),
]


def tidy(ask: str, rng: Random) -> str:
    """Only the first letter and the last sign vary."""
    if rng.random() < 0.4:
        ask = ask[:1].upper() + ask[1:]
    return ask + rng.choice(["", "", ".", "!"]) if ask[-1].isalnum() else ask


def untidy(ask: str, rng: Random) -> str:
    """Case, punctuation, filler words and typing errors, as people write to a chat."""
    if rng.random() < 0.08:
        ask = rng.choice(PREFIXES) + ask
    if rng.random() < 0.08:
        ask = ask.rstrip("?!.") + rng.choice(SUFFIXES)
    if rng.random() < 0.12:
        long, short = rng.choice(SHORT)
        ask = re.sub(rf"\b{long}\b", short, ask)
    if rng.random() < 0.45:
        ask = ask.rstrip("?!.") or ask
    if rng.random() < 0.1:
        ask += rng.choice(["?", "!", ".", "??", "...", " ?"])
    chance = rng.random()
    if chance < 0.35:
        ask = ask.lower()
    elif chance < 0.75:
        ask = ask[:1].upper() + ask[1:]
    elif chance < 0.79:
        ask = ask.upper()
    if len(ask) > 5 and rng.random() < 0.18:
        ask = typo(ask, rng)
    return ask


def typo(text: str, rng: Random) -> str:
    """Two letters swapped, one missing, one doubled or one wrong."""
    at = rng.randrange(1, len(text) - 1)
    before, here, after = text[:at], text[at], text[at + 1 :]
    letter = rng.choice("abcdefghijklmnopqrstuvwxyz")
    return rng.choice(
        [
            before + after[:1] + here + after[1:],
            before + after,
            before + here + here + after,
            before + letter + after,
        ]
    )


# ---- words that nobody knows -----------------------------------------------------------------------

ONSETS = (
    "b c d f g h j k l m n p r s t v w z bl br ch cl cr dr fl fr gl gr pl pr sh sk sl sp st th tr".split()
)
VOWELS = "a e i o u a e i o ai ea ee oo ou y".split()
CODAS = ["", "", "", "n", "r", "l", "s", "t", "m", "nd", "st", "ck", "x", "sh", "rt", "ng"]


def made_up(rng: Random) -> str:
    syllables = rng.choices([1, 2, 3], [2, 5, 2])[0]
    return "".join(rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS) for _ in range(syllables))


# First and last code points: Latin, Greek, Cyrillic, Hebrew, Arabic, Devanagari, kana, Han, Hangul, emoji.
SCRIPTS = [
    (0xC0, 0x17F),
    (0x391, 0x3C9),
    (0x410, 0x44F),
    (0x5D0, 0x5EA),
    (0x620, 0x64A),
    (0x905, 0x939),
    (0x3041, 0x30FE),
    (0x4E00, 0x9FA5),
    (0xAC00, 0xD7A3),
    (0x1F300, 0x1F64F),
]


def gibberish(rng: Random) -> str:
    chance = rng.random()
    if chance < 0.5:
        return " ".join(made_up(rng) for _ in range(rng.randint(1, 7)))
    if chance < 0.7:
        return "".join(chr(rng.randint(33, 126)) for _ in range(rng.randint(1, 14)))
    first, last = rng.choice(SCRIPTS)
    return "".join(chr(rng.randint(first, last)) for _ in range(rng.randint(1, 8)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Prints some of the conversations that the tiny model learns from."
    )
    parser.add_argument("--seed", type=int, default=1, help="the same seed prints the same text (default: 1)")
    parser.add_argument("--count", type=int, default=3, help="number of conversations (default: 3)")
    parser.add_argument("--exchanges", type=int, default=6, help="exchanges in each (default: 6)")
    args = parser.parse_args()
    chats, rng = Chats(), Random(args.seed)
    for _ in range(args.count):
        conversation = chats.conversation(rng)
        for messages in [next(conversation) for _ in range(args.exchanges + 1)]:
            for message in messages:
                print(f"{message.role:>9}: {message.text}")
        print()


if __name__ == "__main__":
    main()

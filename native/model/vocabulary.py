"""The tokenizer: byte-level BPE, and messages as tokens in the ChatML format.

Text is split as GPT-2 splits it, because llama.cpp knows that by name and does alike. Merges are learned
from ASCII text only: every other character is written byte by byte, so that a server that runs the model
has to put characters together.
"""

import json
from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

SIZE = 1024
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
PADDING, START, END = range(len(SPECIAL))  # the trainer numbers them first

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


class Vocabulary:
    def __init__(self, tokenizer: Tokenizer):
        tokenizer.encode_special_tokens = True  # "<|im_end|>" in a text is text, not a token
        self.tokenizer = tokenizer
        self.newline = self.encode("\n")

    @classmethod
    def train(cls, texts: Iterable[str]) -> "Vocabulary":
        tokenizer = byte_level(models.BPE())
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        trainer = trainers.BpeTrainer(
            vocab_size=SIZE, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
        )
        tokenizer.train_from_iterator((text for text in texts if text.isascii()), trainer)
        return cls(tokenizer)

    @classmethod
    def restore(cls, tokens: list[str], merges: list[str]) -> "Vocabulary":
        """The vocabulary that was stored as `tokens()` and `merges()`."""
        ids = {token: number for number, token in enumerate(tokens)}
        return cls(byte_level(models.BPE(ids, [tuple(merge.split(" ")) for merge in merges])))

    def tokens(self) -> list[str]:
        return [self.tokenizer.id_to_token(number) for number in range(SIZE)]

    def merges(self) -> list[str]:
        """The pairs to join, most urgent first, each as "left right"."""
        return [" ".join(pair) for pair in json.loads(self.tokenizer.to_str())["model"]["merges"]]

    def encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text).ids

    def decode(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids)

    def opening(self, role: str) -> list[int]:
        """What comes before the text of a message."""
        return [START, *self.encode(f"{role}\n")]

    def closing(self) -> list[int]:
        """What comes after the text of a message."""
        return [END, *self.newline]


def byte_level(model: models.BPE) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer

"""The model: the Llama architecture, as small as it can be and still speak."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

VOCABULARY = 1024
CONTEXT = 1024  # tokens
WIDTH = 192
LAYERS = 6
HEADS = 6
HEAD_WIDTH = WIDTH // HEADS
FEED_FORWARD = 512
NORM_EPSILON = 1e-5
ROPE_BASE = 10_000.0


class Network(nn.Module):
    """Tokens of shape (rows, length) in, scores of the next token (rows, length, VOCABULARY) out."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)  # also the output matrix
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.RMSNorm(WIDTH, NORM_EPSILON)
        self.register_buffer("turns", rope_turns(), persistent=False)
        nn.init.normal_(self.embedding.weight, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens)
        turns = self.turns[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x, turns)
        return self.norm(x) @ self.embedding.weight.T


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention_norm = nn.RMSNorm(WIDTH, NORM_EPSILON)
        self.query = matrix(WIDTH, WIDTH)
        self.key = matrix(WIDTH, WIDTH)
        self.value = matrix(WIDTH, WIDTH)
        self.attention_out = matrix(WIDTH, WIDTH, zero=True)
        self.feed_norm = nn.RMSNorm(WIDTH, NORM_EPSILON)
        self.gate = matrix(WIDTH, FEED_FORWARD)
        self.up = matrix(WIDTH, FEED_FORWARD)
        self.down = matrix(FEED_FORWARD, WIDTH, zero=True)

    def forward(self, x: Tensor, turns: Tensor) -> Tensor:
        x = x + self.attend(self.attention_norm(x), turns)
        h = self.feed_norm(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))

    def attend(self, x: Tensor, turns: Tensor) -> Tensor:
        query, key, value = (
            project(x).unflatten(-1, (HEADS, HEAD_WIDTH)).transpose(1, 2)
            for project in (self.query, self.key, self.value)
        )
        mixed = F.scaled_dot_product_attention(turn(query, turns), turn(key, turns), value, is_causal=True)
        return self.attention_out(mixed.transpose(1, 2).flatten(-2))


def matrix(inputs: int, outputs: int, zero: bool = False) -> nn.Linear:
    """`zero` for those that write back to the residual stream: each block begins as the identity."""
    linear = nn.Linear(inputs, outputs, bias=False)
    nn.init.zeros_(linear.weight) if zero else nn.init.normal_(linear.weight, std=inputs**-0.5)
    return linear


def rope_turns() -> Tensor:
    """The turn of each position and pair, as a complex number: (CONTEXT, HEAD_WIDTH / 2)."""
    speeds = ROPE_BASE ** (-torch.arange(0, HEAD_WIDTH, 2) / HEAD_WIDTH)
    angles = torch.outer(torch.arange(CONTEXT), speeds)
    return torch.polar(torch.ones_like(angles), angles)


def turn(x: Tensor, turns: Tensor) -> Tensor:
    """Turns neighbouring pairs, as llama.cpp does for this architecture (not halves, as others do)."""
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turns).flatten(-2).to(x.dtype)

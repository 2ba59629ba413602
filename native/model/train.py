"""Trains the tiny model that is embedded in streamgate, and writes it as a GGUF file.

  python train.py                    train and write tiny.gguf, within half an hour on two cores
  python train.py --check            ask the finished tiny.gguf a list of questions
  python train.py --ask "hello"      ask it one question

chats.py generates the text during training, so no row is ever seen twice.
"""

import argparse
import hashlib
from collections.abc import Iterator
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

import model_file
from chats import Chats, Message
from network import CONTEXT, Network
from vocabulary import END, PADDING, Vocabulary

HERE = Path(__file__).parent

STEP_TOKENS = 4096
ROW_TOKENS = {128: 0.45, 256: 0.25, 512: 0.2, CONTEXT: 0.1}  # length of rows: share of steps
PADDING_SHARE_MAX = 0.2  # of a row
USER_WEIGHT = 0.1  # what is asked teaches the language, but is not to be imitated
HEAD_TOKENS, HEAD_WEIGHT = 6, 3.0  # an answer's first tokens decide what it is about
SPLIT_SHARE = 0.15  # answers that are tokenized in two parts, as a continued answer is
VOCABULARY_CONVERSATIONS = 1500

MATRIX_RATE = 0.02  # Muon
OTHER_RATE = 0.004  # Adam
WARM_UP = 0.02  # share of the steps
DECAY = 0.6  # share of the steps

QUESTIONS = HERE / "questions.txt"


def main() -> None:
    args = arguments()
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.ask:
        answer_all(args.output, [args.ask], args)
    elif args.check:
        answer_all(args.output, QUESTIONS.read_text(encoding="utf-8").splitlines(), args)
    else:
        train(args)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=HERE / "tiny.gguf",
        metavar="FILE",
        help="the model file, written or asked (default: tiny.gguf beside this script)",
    )
    parser.add_argument(
        "--steps", type=int, default=1100, help=f"training steps of {STEP_TOKENS} tokens (default: 1100)"
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="decides the text, the first weights and the answers (default: 1)"
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=2,
        help="processor threads, 0 for all; part of what makes a run repeatable (default: 2)",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="train nothing: ask the model file the questions in questions.txt",
    )
    parser.add_argument("--ask", metavar="TEXT", help="train nothing: ask the model file one question")
    parser.add_argument(
        "--temperature",
        type=float,
        default=0.0,
        help="for --check and --ask: 0 takes the likeliest token (default: 0)",
    )
    parser.add_argument(
        "--max-tokens", type=int, default=400, help="for --check and --ask: the longest answer (default: 400)"
    )
    return parser.parse_args()


# ---- training -------------------------------------------------------------------------------------


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    chats = Chats()
    vocabulary = Vocabulary.train(sample_texts(chats, Random(args.seed)))
    model = Network()
    optimizers = make_optimizers(model)
    batches = Batches(chats, vocabulary, Random(args.seed + 1))
    with tqdm(range(args.steps), unit="step", smoothing=0.05) as bar:
        for step in bar:
            loss = train_step(model, optimizers, *batches.next(), rate=schedule(step / args.steps))
            bar.set_postfix(loss=f"{loss:.3f}")
    model_file.write(args.output, model, vocabulary)
    digest = hashlib.sha256(args.output.read_bytes()).hexdigest()
    print(f"{args.output}: {args.output.stat().st_size} bytes, sha256 {digest}")


def sample_texts(chats: Chats, rng: Random) -> Iterator[str]:
    for _ in range(VOCABULARY_CONVERSATIONS):
        conversation = chats.conversation(rng)
        for _ in range(6):
            yield from (message.text for message in next(conversation))


def make_optimizers(model: Network) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, Adam for the embedding and the norms."""
    matrices = [weights for weights in model.blocks.parameters() if weights.ndim == 2]
    norms = [weights for weights in model.parameters() if weights.ndim == 1]
    others = [model.embedding.weight, *norms]
    return [
        torch.optim.Muon(matrices, lr=MATRIX_RATE, weight_decay=0.05, momentum=0.95),
        torch.optim.Adam(others, lr=OTHER_RATE, betas=(0.9, 0.95)),
    ]


def train_step(
    model: Network, optimizers: list[torch.optim.Optimizer], tokens: Tensor, weights: Tensor, rate: float
) -> float:
    """One step on rows of tokens, each position weighted by how much its token matters."""
    with torch.autocast("cpu", torch.bfloat16):
        scores = model(tokens[:, :-1])
    losses = F.cross_entropy(scores.float().flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
    weights = weights[:, 1:].flatten()
    loss = (losses * weights).sum() / weights.sum()
    loss.backward()
    for optimizer, full in zip(optimizers, (MATRIX_RATE, OTHER_RATE), strict=True):
        for group in optimizer.param_groups:
            group["lr"] = full * rate
        optimizer.step()
        optimizer.zero_grad()
    return loss.item()


def schedule(progress: float) -> float:
    """The learning rate as a share of the full one: a short rise, a plateau, then down to nothing."""
    return min(1.0, progress / WARM_UP + 0.01, (1 - progress) / DECAY)


class Batches:
    """Rows of one conversation each, as tokens (rows, length) and weights of the same shape."""

    def __init__(self, chats: Chats, vocabulary: Vocabulary, rng: Random):
        self.chats, self.vocabulary, self.rng = chats, vocabulary, rng
        self.openings = {role: vocabulary.opening(role) for role in ("system", "user", "assistant")}

    def next(self) -> tuple[Tensor, Tensor]:
        length = self.rng.choices(list(ROW_TOKENS), list(ROW_TOKENS.values()))[0]
        rows = [self.row(length) for _ in range(STEP_TOKENS // length)]
        tokens, weights = zip(*rows, strict=True)
        return torch.tensor(tokens), torch.tensor(weights)

    def row(self, length: int) -> tuple[list[int], list[float]]:
        """As much of one conversation as fits, then a little padding."""
        while True:
            tokens, weights = self.fill(length + 1)
            rest = length + 1 - len(tokens)
            if rest < PADDING_SHARE_MAX * length:
                return tokens + [PADDING] * rest, weights + [0.0] * rest

    def fill(self, length: int) -> tuple[list[int], list[float]]:
        tokens, weights = [], []
        for messages in self.chats.conversation(self.rng):
            more = [self.encode(message) for message in messages]
            if len(tokens) + sum(len(part) for part, _ in more) > length:
                return tokens, weights
            for part, part_weights in more:
                tokens += part
                weights += part_weights

    def encode(self, message: Message) -> tuple[list[int], list[float]]:
        opening, closing = self.openings[message.role], self.vocabulary.closing()
        text = self.encode_text(message)
        weights = [0.0] * len(opening) + self.weigh(message, len(text) + 1) + [0.0] * (len(closing) - 1)
        return opening + text + closing, weights

    def weigh(self, message: Message, length: int) -> list[float]:
        """How much each token of the text matters, and the token that ends it."""
        if message.role != "assistant":
            return [USER_WEIGHT] * (length - 1) + [0.0]
        if not message.learn:
            return [0.0] * length
        head = min(HEAD_TOKENS, length)
        return [HEAD_WEIGHT] * head + [1.0] * (length - head)

    def encode_text(self, message: Message) -> list[int]:
        encode, text = self.vocabulary.encode, message.text
        if message.role == "assistant" and len(text) > 1 and self.rng.random() < SPLIT_SHARE:
            at = self.rng.randrange(1, len(text))
            return encode(text[:at]) + encode(text[at:])
        return encode(text)


# ---- asking -----------------------------------------------------------------------------------------


def answer_all(path: Path, questions: list[str], args: argparse.Namespace) -> None:
    """Prints answers; a line of several questions, between bars, is one conversation."""
    model, vocabulary = model_file.read(path)
    torch.manual_seed(args.seed)
    for line in questions:
        tokens = []
        for question in line.split(" | "):
            tokens += [
                *vocabulary.opening("user"),
                *vocabulary.encode(question),
                *vocabulary.closing(),
                *vocabulary.opening("assistant"),
            ]
            answer = list(generate(model, tokens, args))
            tokens += [*answer, *vocabulary.closing()]
            print(f"> {question}\n{vocabulary.decode(answer)}\n")


@torch.inference_mode()
def generate(model: Network, prompt: list[int], args: argparse.Namespace) -> Iterator[int]:
    """Reads everything again for each token: slow and simple, as befits a check."""
    tokens = list(prompt)
    for _ in range(min(args.max_tokens, CONTEXT - len(prompt))):
        scores = model(torch.tensor([tokens]))[0, -1]
        token = pick(scores, args.temperature)
        if token == END:
            return
        yield token
        tokens.append(token)


def pick(scores: Tensor, temperature: float) -> int:
    if temperature <= 0:
        return int(scores.argmax())
    return int(torch.multinomial(F.softmax(scores / temperature, dim=-1), 1))


if __name__ == "__main__":
    main()

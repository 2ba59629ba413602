"""The model as a GGUF file: written for llama.cpp, and read back to check it."""

from pathlib import Path

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from gguf import MODEL_TENSOR as Tensor

import network
from network import Network
from vocabulary import CHAT_TEMPLATE, END, PADDING, SPECIAL, Vocabulary

ARCHITECTURE = gguf.MODEL_ARCH.LLAMA

# What a part is called in network.py, and in GGUF.
NAMES = {
    "embedding": Tensor.TOKEN_EMBD,
    "norm": Tensor.OUTPUT_NORM,
    "attention_norm": Tensor.ATTN_NORM,
    "query": Tensor.ATTN_Q,
    "key": Tensor.ATTN_K,
    "value": Tensor.ATTN_V,
    "attention_out": Tensor.ATTN_OUT,
    "feed_norm": Tensor.FFN_NORM,
    "gate": Tensor.FFN_GATE,
    "up": Tensor.FFN_UP,
    "down": Tensor.FFN_DOWN,
}


def write(path: Path, model: Network, vocabulary: Vocabulary) -> None:
    """Matrices as Q8_0, norms as F32. There is no output matrix: llama.cpp then uses the embedding."""
    file = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[ARCHITECTURE])
    describe(file)
    describe_tokens(file, vocabulary)
    for name, weights in model.state_dict().items():
        weights = weights.float().numpy()
        kind = Type.Q8_0 if weights.ndim == 2 else Type.F32
        file.add_tensor(file_name(name), gguf.quantize(weights, kind), raw_dtype=kind)
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()


def read(path: Path) -> tuple[Network, Vocabulary]:
    """The model with the weights as llama.cpp sees them, rounded to Q8_0."""
    file = gguf.GGUFReader(path)
    tensors = {tensor.name: gguf.dequantize(tensor.data, tensor.tensor_type) for tensor in file.tensors}
    model = Network()
    state = {name: torch.from_numpy(np.array(tensors[file_name(name)])) for name in model.state_dict()}
    model.load_state_dict(state)
    tokens, merges = (
        file.fields[key].contents() for key in (gguf.Keys.Tokenizer.LIST, gguf.Keys.Tokenizer.MERGES)
    )
    return model, Vocabulary.restore(tokens, merges)


def describe(file: gguf.GGUFWriter) -> None:
    file.add_type(gguf.GGUFType.MODEL)
    file.add_name("streamgate-tiny")
    file.add_description("A toy chat model that knows a few topics, embedded in streamgate.")
    file.add_license("MIT OR Apache-2.0")
    file.add_languages(["en"])
    file.add_size_label("2.9M")
    file.add_context_length(network.CONTEXT)
    file.add_embedding_length(network.WIDTH)
    file.add_block_count(network.LAYERS)
    file.add_feed_forward_length(network.FEED_FORWARD)
    file.add_head_count(network.HEADS)
    file.add_head_count_kv(network.HEADS)
    file.add_layer_norm_rms_eps(network.NORM_EPSILON)
    file.add_rope_dimension_count(network.HEAD_WIDTH)
    file.add_rope_freq_base(network.ROPE_BASE)
    file.add_vocab_size(network.VOCABULARY)
    file.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    file.add_quantization_version(gguf.GGML_QUANT_VERSION)


def describe_tokens(file: gguf.GGUFWriter, vocabulary: Vocabulary) -> None:
    tokens = vocabulary.tokens()
    kinds = [gguf.TokenType.CONTROL if token in SPECIAL else gguf.TokenType.NORMAL for token in tokens]
    file.add_tokenizer_model("gpt2")
    file.add_tokenizer_pre("gpt-2")
    file.add_token_list(tokens)
    file.add_token_types(kinds)
    file.add_token_merges(vocabulary.merges())
    file.add_bos_token_id(PADDING)  # named because llama.cpp wants one, never added
    file.add_eos_token_id(END)
    file.add_eot_token_id(END)
    file.add_pad_token_id(PADDING)
    file.add_add_bos_token(False)
    file.add_add_eos_token(False)
    file.add_chat_template(CHAT_TEMPLATE)


def file_name(name: str) -> str:
    """GGUF's name of a tensor: blocks.3.query.weight is blk.3.attn_q.weight there."""
    *block, part, suffix = name.split(".")
    number = block[1] if block else 0
    return f"{gguf.TENSOR_NAMES[NAMES[part]].format(bid=number)}.{suffix}"

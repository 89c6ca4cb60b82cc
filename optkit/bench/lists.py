"""The shapes of the parameters of real networks, with names and kinds of layers. Nothing is allocated here."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple


class Entry(NamedTuple):
    """One parameter.  kind: "weight" of a convolution, Linear or LSTM, or "free": biases, norm layers, embeddings.

    over: the axes of a group; None for those that `optkit.torch.regularize` chooses, all but that of the inputs.
    channels_last: whether it lies so in memory.
    """

    name: str
    kind: Literal["weight", "free"]
    shape: tuple[int, ...]
    over: tuple[int, ...] | None = None
    channels_last: bool = False

    @property
    def axes(self) -> tuple[int, ...] | None:
        """The axes of a group; None if free."""
        if self.kind == "free" or self.over is not None:
            return self.over
        return tuple(i for i in range(len(self.shape)) if i != 1)

    @property
    def size(self) -> int:
        return math.prod(self.shape)


Entries = list[Entry]
_Entries = Iterator[Entry]


def _weight(name: str, *shape: int) -> Entry:
    return Entry(f"{name}.weight", "weight", shape)


def _free(name: str, *shape: int) -> Entry:
    return Entry(name, "free", shape)


def _biased(name: str, *shape: int) -> _Entries:
    """A weight and its bias."""
    yield _weight(name, *shape)
    yield _free(f"{name}.bias", shape[0])


def _norm(name: str, width: int) -> _Entries:
    yield _free(f"{name}.weight", width)
    yield _free(f"{name}.bias", width)


def _lstm(name: str, inputs: int, width: int, suffix: str = "") -> _Entries:
    yield Entry(f"{name}.weight_ih{suffix}", "weight", (4 * width, inputs))
    yield Entry(f"{name}.weight_hh{suffix}", "weight", (4 * width, width))
    yield _free(f"{name}.bias_ih{suffix}", 4 * width)
    yield _free(f"{name}.bias_hh{suffix}", 4 * width)


def resnet50() -> _Entries:
    """ResNet-50 for ImageNet: 25,557,032 parameters in 161 tensors (He et al., 2016)."""

    def convolved(conv: str, norm: str, outputs: int, inputs: int, side: int) -> _Entries:
        yield _weight(conv, outputs, inputs, side, side)
        yield from _norm(norm, outputs)

    yield from convolved("conv1", "bn1", 64, 3, 7)
    inputs = 64
    for stage, (blocks, width) in enumerate([(3, 64), (4, 128), (6, 256), (3, 512)], start=1):
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            yield from convolved(f"{name}.conv1", f"{name}.bn1", width, inputs, 1)
            yield from convolved(f"{name}.conv2", f"{name}.bn2", width, width, 3)
            yield from convolved(f"{name}.conv3", f"{name}.bn3", 4 * width, width, 1)
            if block == 0:
                yield from convolved(f"{name}.downsample.0", f"{name}.downsample.1", 4 * width, inputs, 1)
            inputs = 4 * width
    yield from _biased("fc", 1000, 2048)


def vgg19() -> _Entries:
    """VGG-19 with batch normalization for CIFAR-10, one Linear behind the convolutions: 20,040,522 parameters.

    The variant of the RAMDA paper's experiments (appendix C).
    """
    inputs, place = 3, 0
    for width, layers in ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4)):
        for _ in range(layers):
            yield from _biased(f"features.{place}", width, inputs, 3, 3)
            yield from _norm(f"features.{place + 1}", width)
            inputs, place = width, place + 3
        place += 1
    yield from _biased("classifier", 10, 512)


def transformer_xl() -> _Entries:
    """Transformer-XL base for WikiText-103, 16 layers of width 512: 191,950,298 parameters.

    The variant of the RAMDA paper's experiments; 71 % of the parameters are embeddings.
    """
    words, width = 267735, 512
    yield _free("word_emb.emb_layers.0.weight", words, width)
    yield _free("r_w_bias", 8, 64)
    yield _free("r_r_bias", 8, 64)
    for i in range(16):
        yield _weight(f"layers.{i}.dec_attn.qkv_net", 3 * width, width)
        yield _weight(f"layers.{i}.dec_attn.o_net", width, width)
        yield _weight(f"layers.{i}.dec_attn.r_net", width, width)
        yield from _norm(f"layers.{i}.dec_attn.layer_norm", width)
        yield from _biased(f"layers.{i}.pos_ff.CoreNet.0", 4 * width, width)
        yield from _biased(f"layers.{i}.pos_ff.CoreNet.3", width, 4 * width)
        yield from _norm(f"layers.{i}.pos_ff.layer_norm", width)
    yield _free("crit.cluster_weight", 3, width)
    yield _free("crit.cluster_bias", 3)
    yield _free("crit.out_layers.0.bias", words)


def transformer() -> _Entries:
    """A 12-layer transformer of width 768, the sizes of GPT-2 small: 124,439,808 parameters in 148 tensors."""
    width = 768
    yield _free("wte.weight", 50257, width)
    yield _free("wpe.weight", 1024, width)
    for i in range(12):
        yield from _norm(f"h.{i}.ln_1", width)
        yield from _biased(f"h.{i}.attn.qkv", 3 * width, width)
        yield from _biased(f"h.{i}.attn.out", width, width)
        yield from _norm(f"h.{i}.ln_2", width)
        yield from _biased(f"h.{i}.mlp.up", 4 * width, width)
        yield from _biased(f"h.{i}.mlp.down", width, 4 * width)
    yield from _norm("ln_f", width)


def tacotron2() -> _Entries:
    """Tacotron 2: 28,193,153 parameters in convolutions over time, LSTMs and Linear layers (Shen et al., 2018)."""
    yield _free("embedding.weight", 148, 512)
    for i in range(3):
        yield from _biased(f"encoder.convolutions.{i}.0.conv", 512, 512, 5)
        yield from _norm(f"encoder.convolutions.{i}.1", 512)
    for direction in ("_l0", "_l0_reverse"):
        yield from _lstm("encoder.lstm", 512, 256, direction)
    yield _weight("decoder.prenet.layers.0.linear_layer", 256, 80)
    yield _weight("decoder.prenet.layers.1.linear_layer", 256, 256)
    yield from _lstm("decoder.attention_rnn", 768, 1024)
    yield _weight("decoder.attention_layer.query_layer.linear_layer", 128, 1024)
    yield _weight("decoder.attention_layer.memory_layer.linear_layer", 128, 512)
    yield _weight("decoder.attention_layer.v.linear_layer", 1, 128)
    yield _weight("decoder.attention_layer.location_layer.location_conv.conv", 32, 2, 31)
    yield _weight("decoder.attention_layer.location_layer.location_dense.linear_layer", 128, 32)
    yield from _lstm("decoder.decoder_rnn", 1536, 1024)
    yield from _biased("decoder.linear_projection.linear_layer", 80, 1536)
    yield from _biased("decoder.gate_layer.linear_layer", 1, 1536)
    widths = (80, 512, 512, 512, 512, 80)
    for i, (inputs, outputs) in enumerate(zip(widths, widths[1:], strict=False)):
        yield from _biased(f"postnet.convolutions.{i}.0.conv", outputs, inputs, 5)
        yield from _norm(f"postnet.convolutions.{i}.1", outputs)


def tiny() -> _Entries:
    """500 tensors of 16 to 256 entries: 250 Linear layers of width 16."""
    for i in range(250):
        yield from _biased(f"layers.{i}", 16, 16)


def matrices(count: int, rows: int, columns: int) -> Entries:
    """So many weights of Linear layers; a group is a column."""
    return [_weight(f"layers.{i}", rows, columns) for i in range(count)]


LISTS: dict[str, Callable[[], _Entries]] = {
    "resnet50": resnet50,
    "vgg19": vgg19,
    "transformer": transformer,
    "transformer-xl": transformer_xl,
    "tacotron2": tacotron2,
    "tiny": tiny,
}


def entries(name: str) -> Entries:
    """The parameters of a list."""
    return list(LISTS[name]())

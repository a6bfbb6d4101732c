"""How each layer of Keras is made, and what it is fed with.

`image_layers.py` has those that change images.
"""

import keras
from keras import layers

from tests.sweep.image_layers import IMAGE_LAYERS
from tests.sweep.places import WORDS, Place, flat, frames, image, raw, sequence, volume

LEFT_OUT = {
    "Layer": "a base class",
    "Wrapper": "a base class",
    "InputLayer": "what the built networks begin with",
    "FlaxLayer": "for another backend",
    "JaxLayer": "for another backend",
    "TorchModuleWrapper": "for another backend",
    "MaxNumBoundingBoxes": "pads boxes, which are labels",
    "TFSMLayer": "is made of a file",
}


def pair(layer, x):
    """For layers that take a list of two."""
    return layer([x, keras.ops.sin(3 * x)])


def twice(layer, x):
    """For layers that take a query and a value."""
    return layer(x, keras.ops.sin(3 * x))


def merged(make) -> Place:
    return flat(make, call=pair)


ACTIVATIONS_AND_MERGES = {
    "Activation": flat(lambda: layers.Activation("gelu")),
    "ActivityRegularization": flat(lambda: layers.ActivityRegularization(0.1, 0.1)),
    "Add": merged(layers.Add),
    "Average": merged(layers.Average),
    "Concatenate": merged(layers.Concatenate),
    "Dot": merged(lambda: layers.Dot(1)),
    "ELU": flat(layers.ELU),
    "LeakyReLU": flat(layers.LeakyReLU),
    "Maximum": merged(layers.Maximum),
    "Minimum": merged(layers.Minimum),
    "Multiply": merged(layers.Multiply),
    "PReLU": flat(layers.PReLU),
    "ReLU": flat(lambda: layers.ReLU(negative_slope=0.1)),
    "Softmax": flat(layers.Softmax),
    "Subtract": merged(layers.Subtract),
}

CORE = {
    "Dense": flat(lambda: layers.Dense(4, "tanh")),
    "EinsumDense": flat(lambda: layers.EinsumDense("ab,bc->ac", 3, bias_axes="c")),
    "Embedding": raw(lambda: layers.Embedding(5, 3, "glorot_uniform"), (4,), "int32"),
    "ReversibleEmbedding": raw(
        lambda: layers.ReversibleEmbedding(5, 3, embeddings_initializer="normal"),
        (4,),
        "int32",
        call=lambda layer, x: layer(layer(x), reverse=True),
    ),
    "Identity": flat(layers.Identity),
    "Lambda": flat(lambda: layers.Lambda(lambda x: x * keras.ops.sin(x))),
    "Masking": sequence(
        lambda: layers.Masking(0.0),
        call=lambda layer, x: keras.ops.sin(layer(x)),
    ),
}

NORMALIZATIONS_AND_NOISE = {
    "AlphaDropout": flat(lambda: layers.AlphaDropout(0.3)),
    "BatchNormalization": flat(
        layers.BatchNormalization, feed=lambda: layers.Dense(4, use_bias=False)
    ),
    "Dropout": flat(lambda: layers.Dropout(0.3)),
    "GaussianDropout": flat(lambda: layers.GaussianDropout(0.3)),
    "GaussianNoise": flat(lambda: layers.GaussianNoise(0.3)),
    "GroupNormalization": image(lambda: layers.GroupNormalization(3)),
    "LayerNormalization": flat(layers.LayerNormalization),
    "RMSNormalization": flat(layers.RMSNormalization),
    "SpatialDropout1D": sequence(lambda: layers.SpatialDropout1D(0.3)),
    "SpatialDropout2D": image(lambda: layers.SpatialDropout2D(0.3)),
    "SpatialDropout3D": volume(lambda: layers.SpatialDropout3D(0.3)),
    "SpectralNormalization": flat(
        lambda: layers.SpectralNormalization(layers.Dense(4))
    ),
    "UnitNormalization": flat(layers.UnitNormalization),
}

RECURRENT = {
    "Bidirectional": sequence(lambda: layers.Bidirectional(layers.GRU(3))),
    "ConvLSTM1D": frames(lambda: layers.ConvLSTM1D(2, 2), (3, 4, 1)),
    "ConvLSTM2D": frames(lambda: layers.ConvLSTM2D(2, 2), (3, 3, 3, 1)),
    "ConvLSTM3D": frames(lambda: layers.ConvLSTM3D(2, 2), (2, 3, 3, 3, 1)),
    "GRU": sequence(lambda: layers.GRU(3)),
    "GRUCell": sequence(lambda: layers.RNN(layers.GRUCell(3, dropout=0.2))),
    "LSTM": sequence(lambda: layers.LSTM(3, recurrent_dropout=0.2)),
    "LSTMCell": sequence(lambda: layers.RNN(layers.LSTMCell(3))),
    "RNN": sequence(lambda: layers.RNN(layers.SimpleRNNCell(3), unroll=True)),
    "SimpleRNN": sequence(lambda: layers.SimpleRNN(3, dropout=0.2)),
    "SimpleRNNCell": sequence(lambda: layers.RNN(layers.SimpleRNNCell(3))),
    "StackedRNNCells": sequence(
        lambda: layers.RNN(
            layers.StackedRNNCells([layers.GRUCell(3), layers.LSTMCell(2)])
        )
    ),
    "TimeDistributed": sequence(lambda: layers.TimeDistributed(layers.Dense(3))),
}

ATTENTION = {
    "AdditiveAttention": sequence(layers.AdditiveAttention, call=pair),
    "Attention": sequence(lambda: layers.Attention(dropout=0.2), call=pair),
    "GroupQueryAttention": sequence(
        lambda: layers.GroupQueryAttention(3, 2, 1), call=twice
    ),
    "MultiHeadAttention": sequence(
        lambda: layers.MultiHeadAttention(2, 3, dropout=0.2), call=twice
    ),
}

CONVOLUTIONS = {
    "Conv1D": sequence(lambda: layers.Conv1D(3, 2)),
    "Conv1DTranspose": sequence(lambda: layers.Conv1DTranspose(3, 2)),
    "Conv2D": image(lambda: layers.Conv2D(3, 2)),
    "Conv2DTranspose": image(lambda: layers.Conv2DTranspose(3, 2)),
    "Conv3D": volume(lambda: layers.Conv3D(3, 2)),
    "Conv3DTranspose": volume(lambda: layers.Conv3DTranspose(3, 2)),
    "DepthwiseConv1D": sequence(lambda: layers.DepthwiseConv1D(2)),
    "DepthwiseConv2D": image(lambda: layers.DepthwiseConv2D(2)),
    "SeparableConv1D": sequence(lambda: layers.SeparableConv1D(3, 2)),
    "SeparableConv2D": image(lambda: layers.SeparableConv2D(3, 2)),
}

FED_BY_RANK = {"1D": sequence, "2D": image, "3D": volume}
POOLING_AND_PADDING = {
    f"{name}{rank}": fed(
        lambda name=name, rank=rank, args=args: getattr(layers, f"{name}{rank}")(*args)
    )
    for rank, fed in FED_BY_RANK.items()
    for name, args in {
        "AdaptiveAveragePooling": (2,),
        "AdaptiveMaxPooling": (2,),
        "AveragePooling": (2,),
        "Cropping": (1,),
        "GlobalAveragePooling": (),
        "GlobalMaxPool": (),
        "MaxPool": (2,),
        "UpSampling": (2,),
        "ZeroPadding": (1,),
    }.items()
}

RESHAPING = {
    "Flatten": image(layers.Flatten),
    "Permute": sequence(lambda: layers.Permute((2, 1))),
    "RepeatVector": flat(lambda: layers.RepeatVector(2)),
    "Reshape": flat(lambda: layers.Reshape((2, 2))),
}

FEATURES = {
    "CategoryEncoding": raw(lambda: layers.CategoryEncoding(5), (3,), "int32"),
    "Discretization": raw(lambda: layers.Discretization([0.3, 0.6])),
    "HashedCrossing": raw(
        lambda: layers.HashedCrossing(4, output_mode="one_hot"),
        (2,),
        "int32",
        call=lambda layer, x: layer((x[:, :1], x[:, 1:])),
    ),
    "Hashing": raw(lambda: layers.Hashing(4, output_mode="multi_hot"), (3,), "int32"),
    "IntegerLookup": raw(
        lambda: layers.IntegerLookup(vocabulary=[0, 1, 3], output_mode="multi_hot"),
        (3,),
        "int32",
    ),
    "MelSpectrogram": raw(
        lambda: layers.MelSpectrogram(8, 4, num_mel_bins=4, sampling_rate=100),
        (16,),
        call=lambda layer, x: layer(x) / 100,  # of decibels
    ),
    "Normalization": flat(lambda: layers.Normalization(mean=0.5, variance=2.0)),
    "STFTSpectrogram": sequence(
        lambda: layers.STFTSpectrogram(frame_length=4, frame_step=1, fft_length=4)
    ),
    "StringLookup": raw(
        lambda: layers.StringLookup(
            vocabulary=WORDS[:3].tolist(), output_mode="multi_hot"
        ),
        (3,),
        "string",
    ),
    "TextVectorization": raw(
        lambda: layers.TextVectorization(
            vocabulary=WORDS[:3].tolist(), output_sequence_length=2
        ),
        (1,),
        "string",
        call=lambda layer, x: keras.ops.cast(layer(x), "float32"),
    ),
}

LAYERS: dict[str, Place] = (
    ACTIVATIONS_AND_MERGES
    | CORE
    | NORMALIZATIONS_AND_NOISE
    | RECURRENT
    | ATTENTION
    | CONVOLUTIONS
    | POOLING_AND_PADDING
    | RESHAPING
    | FEATURES
    | IMAGE_LAYERS
)

NEEDS_SHAPES = {
    "AdaptiveAveragePooling1D",
    "AdaptiveAveragePooling2D",
    "AdaptiveAveragePooling3D",
    "AdaptiveMaxPooling1D",
    "AdaptiveMaxPooling2D",
    "AdaptiveMaxPooling3D",
    "ContrastLimitedAdaptiveHistogramEqualization",
    "CutMix",
    "Equalization",
    "HashedCrossing",
    "RNN",  # unrolled
    "RandomCrop",
    "RandomElasticTransform",
    "RandomErasing",
    "RandomPerspective",
    "TextVectorization",
    "TimeDistributed",
}
"""Layers that Keras itself does not call on data of unknown shapes."""

NEEDS_INPUT = {
    "HashedCrossing",  # a Sequential makes floats of the integers
    "Normalization",  # keeps a tensor of the graph where it is built
    "StringLookup",  # a Sequential makes floats of the strings
    "TextVectorization",
}
"""Layers that Keras itself does not train in a network without an Input."""

UNCOMPARED = {
    "SpectralNormalization": "assigns the weights that it then uses: a gradient is "
    "that at the assigned values, where the replay takes it again; eager code would "
    "shift the weights before they are assigned",
    "AugMix": "draws from Python's generator, once for all steps of a function",
    "RandomElasticTransform": "draws other noise in `fit` than in eager code; a replay "
    "from the same seeds is exact",
}
"""Layers that train in every way, but are not compared with eager code, and why."""

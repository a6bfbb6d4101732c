"""The networks that `--model` names: EfficientNet B0 to B7, and a small one."""

import keras

IMAGE_SIZES = {
    "small": 64,
    "EfficientNetB0": 224,
    "EfficientNetB1": 240,
    "EfficientNetB2": 260,
    "EfficientNetB3": 300,
    "EfficientNetB4": 380,
    "EfficientNetB5": 456,
    "EfficientNetB6": 528,
    "EfficientNetB7": 600,
}
"""The size that each was designed for."""


def build_network(name: str, image_size: int, classes: int) -> keras.Model:
    """A network from scratch, from images in [0, 255] to logits in float32."""
    shape = (image_size, image_size, 3)
    if name == "small":
        body = small(shape, classes)
    else:
        body = getattr(keras.applications, name)(
            weights=None,
            input_shape=shape,
            classes=classes,
            classifier_activation=None,
        )
    # The loss needs float32 under `mixed_bfloat16` too.
    logits = keras.layers.Activation("linear", dtype="float32", name="logits")
    return keras.Model(body.inputs, logits(body.outputs[0]), name=name)


def small(shape: tuple[int, int, int], classes: int) -> keras.Model:
    """A few convolutions with what EfficientNet has too: BatchNorm and dropout."""
    inputs = keras.Input(shape)
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    for filters in (16, 32, 64):
        x = keras.layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False)(
            x
        )
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.Activation("swish")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(0.2)(x)
    return keras.Model(inputs, keras.layers.Dense(classes)(x))

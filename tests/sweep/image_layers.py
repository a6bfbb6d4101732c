"""How each layer of Keras that changes images is made."""

from collections.abc import Callable

from keras import layers

from tests.sweep.places import Place, image

RANGE = (0.0, 1.0)

MADE: dict[str, Callable] = {
    "AugMix": lambda: layers.AugMix(RANGE, num_chains=2, chain_depth=2),
    "AutoContrast": lambda: layers.AutoContrast(RANGE),
    "CenterCrop": lambda: layers.CenterCrop(4, 4),
    "ContrastLimitedAdaptiveHistogramEqualization": (
        lambda: layers.ContrastLimitedAdaptiveHistogramEqualization(
            RANGE, tile_grid_size=(2, 2)
        )
    ),
    "CutMix": layers.CutMix,
    "Equalization": lambda: layers.Equalization(RANGE, bins=8),
    "MixUp": layers.MixUp,
    "Pipeline": lambda: layers.Pipeline([layers.RandomFlip(), layers.Rescaling(2.0)]),
    "RandAugment": lambda: layers.RandAugment(RANGE),
    "RandomBrightness": lambda: layers.RandomBrightness(0.3, RANGE),
    "RandomColorDegeneration": lambda: layers.RandomColorDegeneration(0.5, RANGE),
    "RandomColorJitter": lambda: layers.RandomColorJitter(RANGE, 0.3, 0.3, 0.3, 0.3),
    "RandomContrast": lambda: layers.RandomContrast(0.3, RANGE),
    "RandomCrop": lambda: layers.RandomCrop(4, 4),
    "RandomElasticTransform": (
        lambda: layers.RandomElasticTransform(value_range=RANGE)
    ),
    "RandomErasing": lambda: layers.RandomErasing(value_range=RANGE),
    "RandomFlip": layers.RandomFlip,
    "RandomGaussianBlur": lambda: layers.RandomGaussianBlur(value_range=RANGE),
    "RandomGrayscale": layers.RandomGrayscale,
    "RandomHue": lambda: layers.RandomHue(0.5, RANGE),
    "RandomInvert": lambda: layers.RandomInvert(0.5, RANGE),
    "RandomPerspective": lambda: layers.RandomPerspective(scale=0.5),
    "RandomPosterization": lambda: layers.RandomPosterization(4, RANGE),
    "RandomRotation": lambda: layers.RandomRotation(0.2),
    "RandomSaturation": lambda: layers.RandomSaturation(0.5, RANGE),
    "RandomSharpness": lambda: layers.RandomSharpness(0.5, RANGE),
    "RandomShear": lambda: layers.RandomShear(0.3, 0.3),
    "RandomTranslation": lambda: layers.RandomTranslation(0.3, 0.3),
    "RandomZoom": lambda: layers.RandomZoom(0.3),
    "Rescaling": lambda: layers.Rescaling(2.0, -1.0),
    "Resizing": lambda: layers.Resizing(4, 4),
    "Solarization": lambda: layers.Solarization(0.2, 0.5, RANGE),
}

WITHOUT_GRADIENT = {
    "ContrastLimitedAdaptiveHistogramEqualization",
    "Equalization",
    "RandomColorJitter",
    "RandomHue",
    "RandomPosterization",
    "RandomSaturation",
}
"""Of the output with respect to the image, so that they see the data themselves."""


def _place(name) -> Place:
    if name in WITHOUT_GRADIENT:
        return Place(MADE[name], (6, 6, 3))
    return image(MADE[name])


IMAGE_LAYERS = {name: _place(name) for name in MADE}

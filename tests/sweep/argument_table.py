"""A value for each argument that the optimizers of Keras share."""

from keras.optimizers.schedules import CosineDecay

ARGUMENTS = {
    "learning_rate": CosineDecay(1.0, 6),
    "weight_decay": 0.1,
    "clipnorm": 0.1,
    "clipvalue": 0.1,
    "global_clipnorm": 0.1,
    "use_ema": False,
    "ema_momentum": 0.5,
    "ema_overwrite_frequency": 2,
    "loss_scale_factor": 8.0,
    "gradient_accumulation_steps": 2,
    "name": "mine",
}

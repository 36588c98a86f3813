"""The encoder and the projection head, the same for every loss."""

from torch import nn

WIDTH = 128
"""Of the features that the linear probe reads."""


def encoder(shape: tuple[int, ...]) -> nn.Sequential:
    """Return the encoder for rows of a shape: (F,), (1, 8, 8), or an image of 16 x 16 or more."""
    if len(shape) == 3 and shape[1] >= 16:
        channels = (shape[0], 32, 64, WIDTH)
        blocks = [_convolution(channels[k], channels[k + 1]) for k in range(3)]
        return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    columns = 1
    for size in shape:
        columns *= size
    return nn.Sequential(nn.Flatten(), _dense(columns, WIDTH), _dense(WIDTH, WIDTH))


def projection_head(embedding: int) -> nn.Sequential:
    """Return the head whose outputs the loss compares, and which the probe does not see."""
    return nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, embedding))


def classifier(classes: int) -> nn.Linear:
    """Return the head of cross-entropy, in the projection head's place."""
    return nn.Linear(WIDTH, classes)


def _dense(columns: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(columns, width), nn.BatchNorm1d(width), nn.ReLU())


def _convolution(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    )

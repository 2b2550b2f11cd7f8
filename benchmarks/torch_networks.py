"""The basic convnet, MobileNetV2 and ResNet-50 in PyTorch, with the layers that they have here.

torchvision's ResNet-50 has its strides in other layers, and more multiplications.
"""

import contextlib
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.network_steps import EMBEDDING, IMAGES, Case, make_batch


def build(case: Case, channels_last: bool, threads: int) -> Callable[[], float]:
    """A step of training with batch hard and Adam, or an embedding of the same batch, in eager mode."""
    torch.set_num_threads(threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = network(case.model_type).to(device, memory_format=layout)
    array, _ = make_batch(case)
    batch = torch.from_numpy(array).to(device)
    labels = torch.arange(len(batch), device=device) // IMAGES
    same = labels[:, None] == labels
    cast = torch.autocast(device, torch.bfloat16) if case.precision == "mixed_bfloat16" else contextlib.nullcontext()

    def embed() -> Tensor:
        pixels = batch.permute(0, 3, 1, 2).to(torch.float32, memory_format=layout) / 127.5 - 1.0
        with cast:
            return model(pixels).float()

    if not case.training:
        model.eval()

        def run() -> float:
            with torch.inference_mode():
                return float(embed().sum())

        return run

    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)

    def step() -> float:
        optimizer.zero_grad()
        embeddings = embed()
        distances = ((embeddings[:, None] - embeddings) ** 2).sum(dim=-1).clamp(min=1e-12).sqrt()
        positive = torch.where(same, distances, 0.0).amax(dim=1)
        negative = torch.where(same, torch.inf, distances).amin(dim=1)
        loss = nn.functional.softplus(positive - negative).mean()
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


def network(model_type: str) -> nn.Module:
    """(B, 3, H, W) -> (B, EMBEDDING)."""
    layers, features = {"basic": _basic, "mobilenet_v2": _mobilenet_v2, "resnet_v1_50": _resnet_50}[model_type]()
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(features, EMBEDDING))


def _basic() -> tuple[list[nn.Module], int]:
    layers, inputs = [], 3
    for outputs in (32, 64, 128, 256):
        layers += [*_convolution(inputs, outputs, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        inputs = outputs
    return layers, inputs


def _mobilenet_v2() -> tuple[list[nn.Module], int]:
    layers, inputs = [*_convolution(3, 32, 3, 2), nn.ReLU6(inplace=True)], 32
    settings = (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )
    for expansion, outputs, repeats, first_stride in settings:
        for stride in [first_stride, *[1] * (repeats - 1)]:
            wide = inputs * expansion
            block = [*_convolution(inputs, wide, 1), nn.ReLU6(inplace=True)] if expansion > 1 else []
            block += [*_convolution(wide, wide, 3, stride, wide), nn.ReLU6(inplace=True)]
            block += _convolution(wide, outputs, 1)
            layers += [_Shortcut(block, [])] if stride == 1 and inputs == outputs else block
            inputs = outputs
    return [*layers, *_convolution(inputs, 1280, 1), nn.ReLU6(inplace=True)], 1280


def _resnet_50() -> tuple[list[nn.Module], int]:
    layers, inputs = [*_convolution(3, 64, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)], 64
    for width, repeats, first_stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for stride in [first_stride, *[1] * (repeats - 1)]:
            outputs = 4 * width
            block = [*_convolution(inputs, width, 1, stride), nn.ReLU(inplace=True), *_convolution(width, width, 3)]
            block += [nn.ReLU(inplace=True), *_convolution(width, outputs, 1)]
            shortcut = [] if inputs == outputs else _convolution(inputs, outputs, 1, stride)
            layers += [_Shortcut(block, shortcut), nn.ReLU(inplace=True)]
            inputs = outputs
    return layers, inputs


def _convolution(inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """A convolution with batch norm."""
    return [
        nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]


class _Shortcut(nn.Module):
    """The sum of two sequences of layers."""

    def __init__(self, layers: list[nn.Module], shortcut: list[nn.Module]) -> None:
        super().__init__()
        self.layers, self.shortcut = nn.Sequential(*layers), nn.Sequential(*shortcut)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x) + self.shortcut(x)

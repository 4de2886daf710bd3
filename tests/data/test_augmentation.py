"""Views are seeded, stay in range, are what torchvision's and MONAI's transforms give, and zero means untouched."""

from __future__ import annotations

import dataclasses
import math

import pytest
import skimage.data
import torch
from monai.transforms import AdjustContrast, Affine
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import affine

from medtl.data.augmentation import Augmentation

NONE = Augmentation(rotation=0, scale=0, translation=0, flip=0, contrast=0, brightness=0, gamma=0, noise=0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    """Three real pictures in [-1, 1], cut where they are not black, so that the edge shows."""
    camera = torch.from_numpy(skimage.data.camera()[::4, ::4].copy()).float() / 127.5 - 1
    return torch.stack([camera, camera.T, camera.flip(0)])[:, None, :96, :96].contiguous()


def torchvision_affine(picture: torch.Tensor, angle: float, scale: float = 1.0, shift=(0, 0)) -> torch.Tensor:
    return affine(picture + 1, angle, list(shift), scale, [0.0], InterpolationMode.BILINEAR) - 1


def test_all_zeros_leaves_the_scans_as_they_are(pixels):
    assert torch.allclose(NONE(pixels, generator()), pixels, atol=1e-5)


def test_same_seed_same_views(pixels):
    view = Augmentation()
    assert torch.equal(view(pixels, generator(1)), view(pixels, generator(1)))
    assert not torch.equal(view(pixels, generator(1)), view(pixels, generator(2)))


def test_views_stay_in_range_and_differ_from_scan_to_scan(pixels):
    views = Augmentation()(pixels[:1].expand(8, -1, -1, -1), generator())
    assert views.shape == (8, *pixels.shape[1:])
    assert views.min() >= -1 and views.max() <= 1
    assert len({round(float(view.mean()), 6) for view in views}) == 8


def test_flip_is_left_for_right(pixels):
    assert torch.allclose(dataclasses.replace(NONE, flip=1.0)(pixels, generator()), pixels.flip(-1), atol=1e-5)


def test_rotation_is_torchvisions_and_monais(pixels):
    views = dataclasses.replace(NONE, rotation=30.0)(pixels, generator(4))
    angles = torch.rand(len(pixels), generator=generator(4)) * 60 - 30  # what the view draws first
    assert angles.abs().max() > 5
    for picture, view, angle in zip(pixels, views, angles.tolist(), strict=True):
        assert torch.allclose(view, torchvision_affine(picture, -angle), atol=2e-3)
        monai = Affine(rotate_params=(math.radians(-angle),), padding_mode="zeros", image_only=True)
        assert torch.allclose(view, torch.as_tensor(monai(picture + 1)) - 1, atol=2e-3)


def test_scale_is_torchvisions(pixels):
    views = dataclasses.replace(NONE, scale=0.3)(pixels, generator(4))
    draws = generator(4)
    torch.rand(len(pixels), generator=draws)
    zooms = 1 + torch.rand(len(pixels), generator=draws) * 0.6 - 0.3
    for picture, view, zoom in zip(pixels, views, zooms.tolist(), strict=True):
        assert torch.allclose(view, torchvision_affine(picture, 0, zoom), atol=2e-3)


def test_translation_is_torchvisions_and_leaves_black_behind(pixels):
    views = dataclasses.replace(NONE, translation=0.25)(pixels, generator(4))
    draws = generator(4)
    for _ in range(3):  # angle, zoom, mirror
        torch.rand(len(pixels), generator=draws)
    shift_x, shift_y = (0.5 * torch.rand(len(pixels), generator=draws) - 0.25 for _ in range(2))
    side = pixels.shape[-1]
    for picture, view, x, y in zip(pixels, views, shift_x.tolist(), shift_y.tolist(), strict=True):
        expected = torchvision_affine(picture, 0, 1.0, (-x * side, -y * side))
        assert torch.allclose(view, expected, atol=2e-3)
    assert views.min() < -0.999


def test_gamma_is_monais(pixels):
    views = dataclasses.replace(NONE, gamma=0.5)(pixels, generator())
    draws = generator()
    for _ in range(5):  # angle, zoom, mirror, two shifts
        torch.rand(len(pixels), generator=draws)
    exponents = torch.exp((2 * torch.rand(len(pixels), generator=draws) - 1) * math.log(1.5))
    assert ((exponents > 1 / 1.5) & (exponents < 1.5)).all()
    for picture, view, exponent in zip(pixels, views, exponents.tolist(), strict=True):
        stretched = torch.cat([picture, -torch.ones(1, 1, 96), torch.ones(1, 1, 96)], 1)  # MONAI's range is the input's
        expected = torch.as_tensor(AdjustContrast(gamma=exponent)(stretched))[:, :96]
        assert torch.allclose(view, expected, atol=1e-3)


@pytest.mark.parametrize("name", ["contrast", "brightness"])
def test_contrast_scales_about_mid_grey_and_brightness_shifts(name):
    flat = torch.tensor([-0.5, 0.0, 0.5]).view(1, 3, 1, 1).expand(500, 3, 4, 4).contiguous()
    low, middle, high = dataclasses.replace(NONE, **{name: 0.2})(flat, generator()).mean((2, 3)).T
    if name == "contrast":
        assert torch.allclose(middle, torch.zeros(500), atol=1e-5)
        assert torch.allclose(low, -high, atol=1e-5)
        assert 0.8 <= float(high.min() / 0.5) < 0.82 and 1.18 < float(high.max() / 0.5) <= 1.2
    else:
        assert torch.allclose(high - low, torch.ones(500), atol=1e-5)
        assert -0.2 <= float(middle.min()) < -0.19 and 0.19 < float(middle.max()) <= 0.2


def test_noise_has_no_more_than_its_deviation():
    deviations = dataclasses.replace(NONE, noise=0.1)(torch.zeros(200, 1, 64, 64), generator()).std((1, 2, 3))
    assert float(deviations.max()) == pytest.approx(0.1, abs=0.01)
    assert float(deviations.mean()) == pytest.approx(0.05, abs=0.01)

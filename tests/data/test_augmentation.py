"""Views are seeded, stay in range, are what torchvision's and MONAI's transforms give, and zero means untouched."""

from __future__ import annotations

import dataclasses
import math

import pytest
import skimage.data
import torch
from monai.transforms import AdjustContrast, Affine, Flip, GaussianSmooth, RandCoarseDropout
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import affine

from medtl.data import augmentation as module
from medtl.data.augmentation import DRAWN, Augmentation, gaussian_blur

NONE = Augmentation(rotation=0, scale=0, translation=0, flip=0, contrast=0, brightness=0, gamma=0, noise=0, blur=0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(name: str, scans: int, seed: int = 0) -> torch.Tensor:
    """What a view draws for each scan, in [-1, 1)."""
    return 2 * torch.rand(len(DRAWN), scans, generator=generator(seed))[DRAWN.index(name)] - 1


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


@pytest.mark.parametrize("channels", [1, 3])
def test_slices_are_worked_on_some_at_a_time_with_the_same_views_to_the_last_bit(pixels, monkeypatch, channels):
    volumes = pixels.repeat_interleave(50, 0).repeat(1, channels, 1, 1).contiguous(memory_format=torch.channels_last)
    bag = torch.arange(3).repeat_interleave(50)
    augmentation = Augmentation(blur=0.5, holes=2)
    largest = []
    moved = Augmentation._moved

    def watched(self, light, drawn):
        largest.append(len(light))
        return moved(self, light, drawn)

    monkeypatch.setattr(Augmentation, "_moved", watched)
    for seed in range(3):
        parts = augmentation(volumes, generator(seed), bag)
        with monkeypatch.context() as whole:
            whole.setattr(module, "TOGETHER", 1000)
            assert torch.equal(parts, augmentation(volumes, generator(seed), bag))
        assert largest == [64, 64, 22, 150]
        largest.clear()
    augmentation(volumes, generator())
    assert largest == [150]  # pictures are a batch as large as the user chose


def test_views_stay_in_range_and_differ_from_scan_to_scan(pixels):
    views = Augmentation()(pixels[:1].expand(8, -1, -1, -1), generator())
    assert views.shape == (8, *pixels.shape[1:])
    assert views.min() >= -1 and views.max() <= 1
    assert len({round(float(view.mean()), 6) for view in views}) == 8


@pytest.mark.parametrize(("name", "axis"), [("flip", 1), ("flip_vertical", 0)])
def test_flips_are_monais(pixels, name, axis):
    views = dataclasses.replace(NONE, **{name: 1.0})(pixels, generator())
    expected = [torch.as_tensor(Flip(spatial_axis=axis)(picture)) for picture in pixels]
    assert torch.allclose(views, torch.stack(expected), atol=1e-5)


def test_flips_come_as_often_as_asked(pixels):
    many = pixels[:1, :, :8, :8].expand(1000, -1, -1, -1)
    views = dataclasses.replace(NONE, flip=0.3, flip_vertical=0.1)(many, generator())
    as_it_is, across, over, both = (
        torch.isclose(views, turned, atol=1e-4).all(3).all(2).all(1).float().mean()
        for turned in (many, many.flip(-1), many.flip(-2), many.flip(-1, -2))
    )
    assert float(across + both) == pytest.approx(0.3, abs=0.05)
    assert float(over + both) == pytest.approx(0.1, abs=0.03)
    assert float(as_it_is + across + over + both) == pytest.approx(1)


def test_flips_and_rotation_go_together_as_monais_affine(pixels):
    """A mirrored picture turned is not a turned picture mirrored: both are checked against one matrix."""
    view = dataclasses.replace(NONE, rotation=30.0, flip=1.0, flip_vertical=1.0)
    angles = 30 * drawn("rotation", len(pixels), 4)
    for picture, found, angle in zip(pixels, view(pixels, generator(4)), angles.tolist(), strict=True):
        monai = Affine(
            rotate_params=(math.radians(-angle),), scale_params=(-1.0, -1.0), padding_mode="zeros", image_only=True
        )
        assert torch.allclose(found, torch.as_tensor(monai(picture + 1)) - 1, atol=2e-3)


def test_rotation_is_torchvisions_and_monais(pixels):
    views = dataclasses.replace(NONE, rotation=30.0)(pixels, generator(4))
    angles = 30 * drawn("rotation", len(pixels), 4)
    assert angles.abs().max() > 5
    for picture, view, angle in zip(pixels, views, angles.tolist(), strict=True):
        assert torch.allclose(view, torchvision_affine(picture, -angle), atol=2e-3)
        monai = Affine(rotate_params=(math.radians(-angle),), padding_mode="zeros", image_only=True)
        assert torch.allclose(view, torch.as_tensor(monai(picture + 1)) - 1, atol=2e-3)


def test_scale_is_torchvisions(pixels):
    views = dataclasses.replace(NONE, scale=0.3)(pixels, generator(4))
    zooms = 1 + 0.3 * drawn("scale", len(pixels), 4)
    for picture, view, zoom in zip(pixels, views, zooms.tolist(), strict=True):
        assert torch.allclose(view, torchvision_affine(picture, 0, zoom), atol=2e-3)


def test_translation_is_torchvisions_and_leaves_black_behind(pixels):
    views = dataclasses.replace(NONE, translation=0.25)(pixels, generator(4))
    shift_x, shift_y = (0.25 * drawn(name, len(pixels), 4) for name in ("shift_x", "shift_y"))
    side = pixels.shape[-1]
    for picture, view, x, y in zip(pixels, views, shift_x.tolist(), shift_y.tolist(), strict=True):
        expected = torchvision_affine(picture, 0, 1.0, (-x * side, -y * side))
        assert torch.allclose(view, expected, atol=2e-3)
    assert views.min() < -0.999


def test_gamma_is_monais(pixels):
    views = dataclasses.replace(NONE, gamma=0.5)(pixels, generator())
    exponents = torch.exp(drawn("gamma", len(pixels)) * math.log(1.5))
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


def test_noise_is_gaussian_and_each_instances_own():
    noise = dataclasses.replace(NONE, noise=0.1)(torch.zeros(200, 1, 64, 64), generator())
    standard = (noise / noise.std((1, 2, 3), keepdim=True)).flatten(1)
    assert float((standard.abs() < 1).float().mean()) == pytest.approx(0.6827, abs=0.005)
    assert float((standard.abs() < 2).float().mean()) == pytest.approx(0.9545, abs=0.005)
    alike = torch.corrcoef(standard) - torch.eye(200)
    assert float(alike.abs().max()) < 0.1


def test_blur_is_monais(pixels):
    """MONAI's GaussianSmooth sets what lies outside to 0, which for us is black: pixels are compared from black on."""
    view = dataclasses.replace(NONE, blur=1.0, blur_sigma=2.0)
    sigmas = 1 + (drawn("sigma", len(pixels), 4) + 1) / 2
    for picture, found, sigma in zip(pixels, view(pixels, generator(4)), sigmas.tolist(), strict=True):
        expected = torch.as_tensor(GaussianSmooth(sigma=sigma)(picture + 1)) - 1
        assert torch.allclose(found, expected, atol=2e-3)
        assert float((found - picture).abs().mean()) > 0.01


def test_blur_of_channels_is_that_of_each(pixels):
    sigma = torch.tensor([0.5, 0.8, 1.5])
    channels = torch.cat([pixels, -pixels], 1)
    assert torch.allclose(gaussian_blur(channels, sigma)[:, 1:], gaussian_blur(-pixels, sigma), atol=1e-6)


def test_blur_comes_as_often_as_asked(pixels):
    many = pixels[:1, :, :16, :16].expand(1000, -1, -1, -1)
    views = dataclasses.replace(NONE, blur=0.2)(many, generator())
    assert float(((views - many).abs().amax((1, 2, 3)) > 0.01).float().mean()) == pytest.approx(0.2, abs=0.04)


def test_holes_have_the_shape_of_monais(pixels):
    bright = torch.ones(50, 1, 60, 40)
    views = dataclasses.replace(NONE, holes=1, hole=0.2)(bright, generator())
    monai = RandCoarseDropout(holes=1, spatial_size=(12, 8), fill_value=0.0, prob=1.0).set_random_state(0)
    for view in views:
        for one in (view[0], torch.as_tensor(monai(torch.ones(1, 60, 40)))[0]):
            rows, columns = torch.nonzero((one == 0).any(1))[:, 0], torch.nonzero((one == 0).any(0))[:, 0]
            assert (len(rows), len(columns)) == (12, 8)
            assert (one[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] == 0).all()
            assert int((one == 0).sum()) == 96
    corners = {tuple(torch.nonzero(view[0] == 0)[0].tolist()) for view in views}
    assert len(corners) > 40
    assert min(row for row, _ in corners) < 6 and max(row for row, _ in corners) > 42  # 0 to 48
    four = dataclasses.replace(NONE, holes=4, hole=0.2)(bright, generator())
    assert 96 < float((four == 0).sum((1, 2, 3)).float().mean()) <= 4 * 96
    assert not (Augmentation()(bright, generator()) == 0).all(3).any()


def test_the_slices_of_a_scan_move_and_change_together(pixels):
    """Three slices of one scan beside a picture: the scan's are the views that a picture in its place would have."""
    slices = torch.cat([pixels, pixels[:1]])
    view = dataclasses.replace(Augmentation(), noise=0)
    found = view(slices, generator(3), torch.tensor([0, 0, 0, 1]))
    for number in range(3):
        alone = view(torch.stack([slices[number], slices[3]]), generator(3))
        assert torch.allclose(found[number], alone[0], atol=1e-5)
        assert torch.allclose(found[3], alone[1], atol=1e-5)
    noisy = dataclasses.replace(NONE, noise=0.2)(torch.zeros(4, 1, 32, 32), generator(3), torch.tensor([0, 0, 0, 1]))
    assert torch.allclose(noisy[0].std(), noisy[1].std(), rtol=0.15) and not torch.allclose(noisy[0], noisy[1])


def test_a_bag_of_one_each_is_no_bag(pixels):
    assert torch.equal(Augmentation()(pixels, generator(), torch.arange(3)), Augmentation()(pixels, generator()))


def test_the_scans_themselves_are_left_alone(pixels):
    before = pixels.clone()
    Augmentation(holes=2)(pixels, generator())
    assert torch.equal(pixels, before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_gives_the_same_views(pixels):
    on_gpu = Augmentation(holes=1)(pixels.cuda(), generator(5)).cpu()
    assert torch.allclose(on_gpu, Augmentation(holes=1)(pixels, generator(5)), atol=1e-3)

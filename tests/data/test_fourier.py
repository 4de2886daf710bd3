"""The swap is the paper's, written in NumPy; a black border stays what it was and where it was."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
import torch

from medtl.data.fourier import black_border, restyle, swap_amplitude


@pytest.fixture(scope="module")
def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    """Two real pictures each, in [-1, 1], 112 rows and 96 columns."""
    camera, coins = (
        torch.from_numpy(picture.copy()).float() / 127.5 - 1
        for picture in (skimage.data.camera(), skimage.data.coins())
    )
    source = torch.stack([camera[:112, :96], camera[200:312, 100:196]])[:, None]
    target = torch.stack([coins[:112, :96], coins[150:262, 100:196]])[:, None]
    return source, target


def as_the_paper_says(source: np.ndarray, target: np.ndarray, beta: float) -> np.ndarray:
    """Equation 1 of arXiv:2004.05498 with the frequencies centred, for one picture (H, W)."""
    spectrum, style = (np.fft.fftshift(np.fft.fft2(each)) for each in (source, target))
    height, width = source.shape
    reach = int(np.floor(beta * min(height, width)))
    row, column = height // 2, width // 2
    amplitude = np.abs(spectrum)
    low = np.s_[row - reach : row + reach + 1, column - reach : column + reach + 1]
    amplitude[low] = np.abs(style)[low]
    mixed = amplitude * np.exp(1j * np.angle(spectrum))
    return np.real(np.fft.ifft2(np.fft.ifftshift(mixed)))


@pytest.mark.parametrize("beta", [0.0, 0.01, 0.05, 0.09])
def test_the_swap_is_the_papers(pictures, beta: float) -> None:
    source, target = pictures
    colour = torch.cat([source, -source], 1), torch.cat([target, target.flip(2)], 1)
    found = swap_amplitude(*colour, beta)
    for number in range(2):
        for channel in range(2):
            expected = as_the_paper_says(*(each[number, channel].double().numpy() for each in colour), beta)
            assert np.allclose(found[number, channel].numpy(), expected, atol=1e-5)


def test_odd_sides_too() -> None:
    torch.manual_seed(0)
    source, target = torch.rand(2, 1, 1, 33, 51)
    expected = as_the_paper_says(source[0, 0].double().numpy(), target[0, 0].double().numpy(), 0.1)
    assert np.allclose(swap_amplitude(source, target, 0.1)[0, 0].numpy(), expected, atol=1e-5)


def test_a_pictures_own_amplitude_changes_nothing(pictures) -> None:
    source, _ = pictures
    assert torch.allclose(swap_amplitude(source, source, 0.05), source, atol=1e-5)
    assert torch.allclose(restyle(source, source, 0.05), source, atol=1e-5)


def test_beta_0_gives_the_targets_brightness_and_keeps_the_rest(pictures) -> None:
    source, target = (each + 1 for each in pictures)
    found = swap_amplitude(source, target, 0.0)
    assert torch.allclose(found.mean((2, 3)), target.mean((2, 3)), atol=1e-5)
    assert torch.allclose(
        found - found.mean((2, 3), keepdim=True), source - source.mean((2, 3), keepdim=True), atol=1e-5
    )


@pytest.mark.parametrize(("source", "target"), [(-0.2, 0.5), (0.5, -0.2), (-0.2, -0.5)])
def test_a_dark_picture_takes_the_targets_mean_with_its_sign(source: float, target: float) -> None:
    torch.manual_seed(0)
    both = 0.2 * torch.rand(2, 1, 1, 64, 64) - 0.1
    both[..., 30:33, 30:33] = -0.4  # the darkest place is inside: no border
    one, other = both + torch.tensor([source, target]).view(2, 1, 1, 1, 1)
    assert torch.allclose(restyle(one, other, 0.0).mean(), other.mean(), atol=1e-4)


def test_pictures_without_a_border_are_restyled_as_in_the_paper(pictures) -> None:
    source, target = (each.clamp(min=-0.5) for each in pictures)
    for each in (source, target):
        each[:, :, 50, 50] = -1.0  # the darkest place is inside
        each[:, :, 49:52, 49:52] = -1.0
    assert not black_border(source).any()
    assert torch.allclose(restyle(source, target), as_light(source, target), atol=1e-6)


def as_light(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return (swap_amplitude(source + 1, target + 1) - 1).clamp(-1, 1)


def barred(pictures: torch.Tensor, black: float = -1.0) -> torch.Tensor:
    """20 columns of black on either side, as fit_square pads a tall picture, and a dark hole that is no border."""
    made = pictures.clamp(min=-0.5).clone()
    made[..., :20] = made[..., -20:] = black
    made[..., 50:60, 40:50] = black
    return made


@pytest.mark.parametrize("black", [-1.0, -0.7])
def test_the_border_is_what_is_black_up_to_an_edge(pictures, black: float) -> None:
    torch.manual_seed(0)
    made = barred(pictures[0], black)
    made += 0.05 * torch.rand(2, 1, 1, 1) * torch.randn(made.shape)  # what a random view adds at most
    border = black_border(made)[..., 0, :, :]
    assert (border[:, :, :18] == 1).all() and (border[:, :, -18:] == 1).all()
    assert (border[:, :, 22:-22] == 0).float().mean() > 0.999  # the hole is shown: it could be a cyst
    assert (border[:, 52:58, 42:48] == 0).all()


def test_the_border_stays_black_and_the_targets_leaves_no_shadow(pictures) -> None:
    source, target = pictures
    tall, wide = barred(source), barred(target.transpose(2, 3)).transpose(2, 3)
    wide = torch.cat([wide, wide], 2)[:, :, :112, :96]
    found, plain = restyle(tall, wide), as_light(tall, wide)
    assert torch.equal(found[..., :18], tall[..., :18])
    assert float(plain[..., :18].std()) > 0.1  # what it is there for
    assert found.min() >= -1 and found.max() <= 1


def test_a_blank_picture_has_no_style_to_give(pictures) -> None:
    source, target = pictures
    blank = torch.full_like(source[:1], -1.0) + 0.02 * torch.rand(1, 1, 112, 96)  # what a random view leaves of it
    found = restyle(source, torch.cat([blank, target[:1]]))
    assert torch.equal(found[0], source[0])
    assert torch.allclose(found[1:], restyle(source[1:], target[:1]), atol=1e-5)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        swap_amplitude(torch.zeros(2, 1, 8, 8), torch.zeros(1, 1, 8, 8))

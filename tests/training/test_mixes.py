"""What the mixes do to a batch, and that training with them survives a cut."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import timm
import torch
from lightning_fabric import Fabric

from medtl import progress
from medtl.data.fourier import restyle
from medtl.intensity import recipes
from medtl.methods import METHODS, Batch
from medtl.models import Classifier
from medtl.models.layers import Layered
from medtl.training import Plan, fit, loop
from medtl.training.mixes import HARMONISERS, IN_THE_RECIPE, MIXES, FourierMix, StyleMix, mixes_for

_spec = importlib.util.spec_from_file_location("shifted", Path(__file__).parent.parent / "methods" / "shifted.py")
shifted = importlib.util.module_from_spec(_spec)
sys.modules["shifted"] = shifted
_spec.loader.exec_module(shifted)


@pytest.fixture(autouse=True)
def quiet():
    progress.set_mode("quiet")
    yield
    progress.set_mode("auto")


def batch(bag: list[int], seed: int, side: int = 32) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.rand(len(bag), 1, side, side, generator=generator) - 0.5
    scans = max(bag) + 1
    return Batch(pixels, torch.tensor(bag), torch.arange(scans) % 2, torch.zeros(scans).long(), torch.arange(scans))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


NO_METHOD: Any = None


# ---- the registry ------------------------------------------------------------------------------------------------
def test_those_in_the_recipe_are_the_recipes() -> None:
    assert set(IN_THE_RECIPE) == set(recipes.HARMONISING_STEPS)
    assert set(HARMONISERS) == set(IN_THE_RECIPE) | set(MIXES)


def test_mixes_are_made_new_and_in_order() -> None:
    first, second = mixes_for(("mixstyle", "histogram", "fda"))
    assert isinstance(first, StyleMix) and isinstance(second, FourierMix)
    assert mixes_for(("mixstyle",))[0] is not first
    assert mixes_for(("landmarks",)) == ()


# ---- FDA ---------------------------------------------------------------------------------------------------------
def test_each_source_scan_takes_the_style_of_one_target_scan_for_all_its_slices() -> None:
    dealt = {"source": batch([0, 0, 1, 2, 2], 0), "target": batch([0, 1, 1], 1)}
    found = FourierMix()(NO_METHOD, dealt, generator())
    taken = []
    for place, made in zip(dealt["source"].bag.tolist(), range(5), strict=True):
        one = dealt["source"].pixels[made : made + 1]
        fits = [
            number
            for number in range(3)
            if torch.allclose(
                restyle(one, dealt["target"].pixels[number : number + 1]), found["source"].pixels[made], atol=1e-6
            )
        ]
        assert len(fits) == 1
        taken.append((place, fits[0]))
    assert len(set(taken)) == 3  # one a scan
    assert found["target"] is dealt["target"]
    assert all(torch.equal(a, b) for a, b in zip(found["source"][1:5], dealt["source"][1:5], strict=True))


def test_targets_are_drawn_by_the_generator() -> None:
    dealt = {"source": batch(list(range(16)), 0), "target": batch(list(range(16)), 1)}
    one, same, other = (FourierMix()(NO_METHOD, dealt, generator(seed))["source"].pixels for seed in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other)


# ---- MixStyle ----------------------------------------------------------------------------------------------------
def test_mixstyle_lends_from_every_role_and_leaves_the_pixels() -> None:
    backbone = timm.create_model("resnet18", pretrained=False, num_classes=0, in_chans=1).train()
    method: Any = SimpleNamespace(classifier=SimpleNamespace(backbone=backbone, fixed=False))
    mix, dealt = StyleMix(), {"source": batch([0, 1, 2], 0), "target": batch([0, 1], 1)}
    assert mix(method, dealt, generator()) == dealt
    assert len(mix._mixing.bank["layer1"][0]) == 5
    mix(method, dealt, generator())
    assert len(backbone.get_submodule("layer1")._forward_hooks) == 1  # hooked once


def test_mixstyle_of_a_backbone_read_at_several_depths_leaves_what_is_beside_it() -> None:
    own, beside = (timm.create_model("test_resnet", pretrained=False, num_classes=0, in_chans=1) for _ in range(2))
    read = Layered(own, beside).train()
    method: Any = SimpleNamespace(classifier=SimpleNamespace(backbone=read, fixed=False))
    mix, dealt = StyleMix(), {"source": batch([0, 1, 2], 0), "target": batch([0, 1], 1)}
    pixels = dealt["source"].pixels
    plain = read(pixels).detach()
    mix(method, dealt, generator())
    mixed = [read(pixels).detach() for _ in range(8)]  # each with a probability of a half
    width = plain.shape[1] // 2
    assert not all(torch.allclose(each[:, :width], plain[:, :width], atol=1e-4) for each in mixed)
    assert all(torch.equal(each[:, width:], plain[:, width:]) for each in mixed)


# ---- in training -------------------------------------------------------------------------------------------------
class Staged(shifted.SmallNet):
    """With the two stages that MixStyle looks for."""

    feature_info = (
        {"module": "layers.2", "num_chs": 4, "reduction": 4},
        {"module": "layers.3", "num_chs": 4, "reduction": 8},
    )


def trained(name: str, mixes: tuple[str, ...], **others: Any) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    method = METHODS[name](Classifier(Staged(), 2, bottleneck=16))
    fit(
        method, shifted.roles(METHODS["dann"]), Plan(8, batch=32), fabric=Fabric(accelerator="cpu", devices=1), seed=0,
        phase="mixed", mixes=mixes_for(mixes), **others,
    )  # fmt: skip
    return method.state_dict()


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("name", ["source-only", "dann", "mcd", "fixmatch"])  # one step, two sites, steps, two views
@pytest.mark.parametrize("mixes", [("fda",), ("mixstyle",), ("fda", "mixstyle")])
def test_every_kind_of_method_trains_with_every_mix_and_goes_on_where_it_was_cut(
    monkeypatch, tmp_path, name, mixes
) -> None:
    monkeypatch.setattr(loop, "EPOCH", 4)
    whole = trained(name, mixes)
    assert same(whole, trained(name, mixes)) and not same(whole, trained(name, ()))
    assert all(torch.isfinite(value).all() for value in whole.values())

    class CutError(Exception):
        pass

    def cut(epoch: int, method: Any) -> dict[str, float]:
        if epoch == 2:
            raise CutError
        return {}

    with pytest.raises(CutError):
        trained(name, mixes, checkpoint=tmp_path / "c.pt", after_epoch=cut)
    assert same(trained(name, mixes, checkpoint=tmp_path / "c.pt"), whole)

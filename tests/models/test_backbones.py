"""The backbone brings its ImageNet weights without a network, and reads no file on trust."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import skimage.data
import timm
import torch
from safetensors.torch import save_file
from skimage.transform import resize

from medtl.errors import InputError
from medtl.models import DEFAULT, create_backbone
from medtl.models.backbones import imagenet_weights


@pytest.mark.parametrize(("picture", "classes"), [("coffee", {967}), ("chelsea", {281, 282, 285}), ("rocket", {657})])
def test_packaged_weights_know_skimage_pictures(picture, classes):
    model = timm.create_model(DEFAULT, pretrained=False)
    model.load_state_dict(imagenet_weights(DEFAULT))
    model.eval()
    picture = getattr(skimage.data, picture)()
    side = min(picture.shape[:2])
    top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
    square = picture[top : top + side, left : left + side]
    pixels = resize(square, (224, 224), anti_aliasing=True).astype(np.float32)
    with torch.inference_mode():
        logits = model(torch.from_numpy(pixels).permute(2, 0, 1)[None] * 2 - 1)
    assert int(logits.argmax()) in classes


def test_one_channel_equals_the_grey_picture_three_times():
    grey = torch.randn(2, 1, 64, 64)
    one, three = create_backbone(channels=1).eval(), create_backbone(channels=3).eval()
    with torch.inference_mode():
        assert torch.allclose(one(grey), three(grey.repeat(1, 3, 1, 1)), atol=1e-4)


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "lcnet_035", "test_vit", "test_resnet"])
def test_a_backbone_knows_how_wide_its_features_are(name):
    backbone = create_backbone(name, pretrained=False, channels=1).eval()
    side = 160 if "vit" in name else 32
    assert backbone(torch.zeros(1, 1, side, side)).shape == (1, backbone.num_features)


def test_weights_from_a_local_file_win(tmp_path):
    model = timm.create_model("resnet18", pretrained=False)
    save_file(model.state_dict(), tmp_path / "resnet18.safetensors")
    torch.save(model.state_dict(), tmp_path / "resnet18.pth")
    for file in ("resnet18.safetensors", "resnet18.pth"):
        backbone = create_backbone("resnet18", weights=tmp_path / file)
        assert torch.equal(backbone.layer1[0].conv1.weight, model.layer1[0].conv1.weight)


def test_no_network_and_no_file_says_which_file_to_bring(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=r"model\.safetensors of huggingface\.co/timm/resnet18.*weights: FILE"):
        create_backbone("resnet18")


def test_a_misspelt_backbone_names_the_nearest():
    with pytest.raises(InputError, match="did you mean 'tf_efficientnet_lite0'"):
        create_backbone("tf_eficientnet_lite0")


def test_a_file_that_would_run_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(InputError, match="holds no weights"):
        create_backbone("resnet18", weights=tmp_path / "evil.pth")
    assert not (tmp_path / "owned").exists()


def test_weights_of_another_model_are_refused(tmp_path):
    save_file(timm.create_model("resnet18", pretrained=False).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(InputError, match="another model's"):
        create_backbone("resnet34", weights=tmp_path / "w.safetensors")

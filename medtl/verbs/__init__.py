"""One file a verb: each composes what lies below, and each has the same arguments in the shell and in Python.

A verb appears when it works: its file, `medtl/verbs/<verb>.py` with a function of that name, and one line here.
"""

# verb -> its arguments that the shell gives by place; all others are options. The order is that of `medtl --help`.
VERBS: dict[str, tuple[str, ...]] = {
    "index": ("folders",),
    "adapt": (),
    "finetune": ("run",),
    "calibrate": ("run",),
    "evaluate": ("run",),
    "compare": ("runs",),
    "learning-curve": ("run",),
    "predict": ("run_or_export", "scans"),
    "export": ("run",),
    "methods": (),
    "backbones": (),
    "recipes": (),
    "doctor": (),
    "demo": (),
}

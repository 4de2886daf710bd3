"""Models that leave the house: `medtl.exports.onnx` writes them, `medtl.exports.runtime` runs them without torch."""

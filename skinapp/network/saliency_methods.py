"""The saliency methods by name, here because the page needs them before TensorFlow is loaded."""

METHODS = {
    "gradcam": "Grad-CAM",
    "gradcam++": "Grad-CAM++",
    "layercam": "LayerCAM",
    "scorecam": "Score-CAM",
    "smoothgrad": "SmoothGrad",
}

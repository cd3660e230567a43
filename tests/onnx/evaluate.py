"""evaluate.py MODEL.onnx TEST_BATCH.bin: top-1 and mean cross-entropy of an exported CIFAR-10 model by onnxruntime, on the official binary layout.
Exits with 77 (skipped) where onnxruntime is not installed."""
import sys

try:
    import numpy as np
    import onnxruntime
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
records = np.fromfile(sys.argv[2], np.uint8).reshape(-1, 3073)
mean = np.array([0.4914, 0.4822, 0.4465], np.float32).reshape(1, 3, 1, 1)
std = np.array([0.2023, 0.1994, 0.2010], np.float32).reshape(1, 3, 1, 1)
image = (records[:, 1:].reshape(-1, 3, 32, 32).astype(np.float32) / 255 - mean) / std
label = records[:, 0]
score = session.run(None, {"image": image})[0].astype(np.float64)
top = score.max(1, keepdims=True)
log_p = score - top - np.log(np.exp(score - top).sum(1, keepdims=True))
print(f"{(score.argmax(1) == label).mean():.6f} {-log_p[np.arange(len(label)), label].mean():.6f}")

"""Runtimes: torch, OpenVINO, onnxruntime; in float32 without TF32, with matching outputs.

base            the Runtime protocol
table           RUNTIMES: what ``--runtime`` can be, one line each
choice          ``--runtime auto``: measured once per machine and model, then kept
torch_module    the graph of ``networks.deployed``, as it is or compiled, on CPU or GPU
cuda_graphs     the same as one recorded CUDA graph
openvino_graph  converted straight from the torch graph, or read from a foreign file
onnx_graph      ONNX files with onnxruntime
quantise        the same graphs in INT8, calibrated on pictures
"""

import sys

# OpenVINO tells Google Analytics of every conversion, by a process that it forks (which holds
# whatever is open here, locks of run folders too), unless its module for that is not installed.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

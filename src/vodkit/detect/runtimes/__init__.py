"""What runs a network: torch, OpenVINO, onnxruntime. All give the same numbers.

base            the Runtime protocol
torch_module    the graph of ``networks.deployed`` as it is, on CPU or GPU
openvino_graph  converted straight from the torch graph, or read from a foreign file
onnx_graph      foreign ONNX files with onnxruntime
"""

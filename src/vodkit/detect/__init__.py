"""Finding objects in single frames: models, their weights, and what runs them.

base            the Detector protocol, and the card that travels with every weight file
published       MODELS, one line a model;  models: load_detector and build_network
preprocess      a frame as the network's input;  decode, postprocess: its outputs as Detections
runtimes/       torch, OpenVINO, onnxruntime: the same network, the same numbers
yolox, torchvision_family, hf_family      one file a family; families is their table
checkpoint, weights, export               files: ours, the published ones, and those for elsewhere
street/         the bundled detector
"""

"""Detection metrics: average precision, error types, frame accuracy, VID, VOC and streaming."""

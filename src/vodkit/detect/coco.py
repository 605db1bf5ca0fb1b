"""The 80 class names of COCO, in the order of its ids, as detectors number them from 0."""

CLASSES = (
    *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat"),
    *("traffic light", "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat"),
    *("dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "backpack"),
    *("umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball"),
    *("kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket"),
    *("bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple"),
    *("sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair"),
    *("couch", "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse"),
    *("remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink"),
    *("refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier"),
    "toothbrush",
)

# COCO numbers its classes up to 90 and leaves ten numbers out; 0 is nobody's.
_UNUSED = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}


def outputs_91() -> tuple[str, ...]:
    """Names of the 91 outputs of torchvision's COCO models: ``__background__``, names, ``N/A``.

    >>> outputs_91()[13], outputs_91()[90]
    ('stop sign', 'toothbrush')
    """
    names = iter(CLASSES)
    return ("__background__", *("N/A" if i in _UNUSED else next(names) for i in range(1, 91)))

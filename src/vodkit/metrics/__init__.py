"""Numbers that can be believed: every standard one, equal to its reference, with its uncertainty.

evaluation   one run gives all of the following; record Evaluation, written as metrics.json
ap           COCO AP and AR (coco_engine: hotcoco, or any package with pycocotools' interface)
vid, voc     ImageNet VID in its protocols, slow/medium/fast;  Pascal VOC
frame_accuracy, curves, errors      frames that are right; P/R/F1, thresholds, calibration; TIDE
mot/         HOTA, CLEAR, IDF1 and the MOTChallenge preprocessing
stability, delay, occlusion, streaming      what a single frame cannot show
bootstrap, compare                  95 % intervals over videos; is B better than A?
validate, clips, columns, match     what goes in, checked;  who is matched to whom
accumulate   update/compute for a training loop

Only numpy and scipy are needed, and a COCO engine for ``ap``; torch is never imported.
"""

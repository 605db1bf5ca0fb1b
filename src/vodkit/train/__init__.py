"""Fine-tuning any of the detectors on labelled video.

loop            ``train``: the whole of it, top to bottom;  settings: what can be set
setup           data, network and stored features before the first step
batches         what a step takes, from the videos or from the feature cache
freeze, optim, gradients, ema, replay      one trick a file
validate        average precision on the validation split
resume, log     the state that survives a kill, and the numbers of each epoch
"""

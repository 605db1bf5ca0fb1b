"""Video in and out: the only part that knows containers, codecs and cameras.

reader      open_video: a file, folder, glob, camera, stream or fsspec URL as one thing
container   video files by PyAV: container time, exact random access
timeline    which frames a file has, and when each is shown, without decoding
restarts    clocks that restart within one file, continued
unfinished  recordings without an index
fingerprint the sha256 of all that a source's frames are made of
pictures    folders and globs of pictures as a video
stream      cameras and network streams: newest frame, reconnect, counted drops
writer      H.264 mp4 that browsers play, original timing, audio kept
clips       which frames make a clip (index arithmetic)
cuts        shot changes
synth       made-up scenes with exact ground truth
"""

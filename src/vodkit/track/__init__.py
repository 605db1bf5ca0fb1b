"""Tracking: detections of consecutive frames in, objects with ids and states out.

base           what a tracker is                 table          the trackers by name: make_tracker
kalman         motion of boxes, in seconds       assign         which detection is which track
book           the columns of all tracks         rounds         one round of matching
life           from tentative to forgotten       occlusion      who is hidden behind whom
camera_motion  how the camera moved              appearance     what objects look like
sort, bytetrack, ocsort, botsort, vodkit         one tracker each; vodkit is the default
roboflow       the trackers of another library   refine         the second, offline pass
count          lines, zones, dwell times         tune           settings from a labelled clip
"""

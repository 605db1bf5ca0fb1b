"""Tracking: detections of consecutive frames in, objects with ids and states out.

base           what a tracker is                table         the trackers by name: make_tracker
kalman         motion of boxes, in seconds      assign        which detection is which track
book           the columns of all tracks        life          from tentative to forgotten
bytetrack      strong boxes, then weak ones
"""

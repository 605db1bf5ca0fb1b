"""Tracking metrics, equal to TrackEval: counts that add up, and one ratio function each.

sequence     truth and tracks of one video side by side, ids renumbered, IoU of every frame
clear        MOTA, MOTP, id switches, fragments, mostly tracked
identity     IDF1
hota         HOTA, DetA, AssA, LocA
preprocess   the MOTChallenge benchmarks' own rules, and ignore regions
summary      all of them for many videos and classes
"""

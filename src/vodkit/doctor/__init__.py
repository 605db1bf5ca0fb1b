"""Why is the result bad? ``vodkit doctor``: likely causes, from files that exist.

No video is decoded and no network runs: labels, logs, manifests, metrics and predictions are read.
"""

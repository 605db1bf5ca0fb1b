"""Labelled video as a thing to be trusted: brought in, checked, split, counted, fed to training.

``ingest`` reads any label format and takes sizes and times from the videos themselves; ``audit``
(with ``audit_labels``, ``audit_videos``, ``shift``, ``leaks``) finds what is wrong and ``mend``
repairs a copy; ``split`` divides by video or scene, never by frame; ``stats`` counts; ``export``
writes other formats and the pictures they need; ``prelabel`` orders predictions for correction;
``footage`` is the one pass over a video that all of them share. ``sampling``, ``loader``,
``transforms`` and ``feature_cache`` feed training, and are the only ones that need torch.
"""

"""Label and prediction files: one module a format, each turning files into a Dataset and back.

``base`` holds what a format is (``Format``), what a reader must be told (``Reading``), what a
writer may choose (``Writing``), and the checked collector of boxes (``Rows``); ``table`` the table
of all formats with ``read_dataset`` and ``write_dataset``; ``predictions`` the JSON Lines file of
a run, appended frame by frame; ``jsonfile``, ``xmlfile`` and ``textfile`` say for every value in
which line it stands. No format opens a video; who can, gives a ``probe``.
"""

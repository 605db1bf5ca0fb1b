"""Many machines: one tree of run folders that any number of workers fill together.

place       a folder here or in a bucket, as one thing: read, write, create once, upload
sources     words of the command line -> the videos, each with a name that is the same everywhere
tree        what is recorded of a tree: settings, which videos are done, failed, claimed, missing
shards      which videos are whose, with no communication
claims      which videos are whose, by files that only one worker can create
failures    what failed, for good or for now; ``failed.jsonl``
progress    how far a tree is; ``progress.json``
worker      one process: the next video, its run folder, its upload
apart       a video that may have ended its worker, in a process of its own
on_ray      the same by actors of Ray
pieces      one long video, detected in several processes
"""

"""Two short clips with reviewed labels, so that everything can be tried without a download.

samples         where the files are
plaza.json      CocoVID: people with ids and visibility; plaza_a is split train, plaza_b test
README.md       where the clips come from, how they were cut and labelled
"""

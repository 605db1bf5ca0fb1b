"""What a person looks at: pictures, and pages that are one file each.

draw, contact_sheet, annotate     boxes on frames; many frames on one picture; an annotated mp4
page, sections                    an evaluation, or two beside each other, as one HTML file
failures, film                    the worst moments of a run, and film strips of them
charts, timeline                  curves, bars and bands as inline SVG
dataset_page                      what is in a dataset, as one HTML file
"""

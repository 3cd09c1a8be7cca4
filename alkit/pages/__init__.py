"""The page of a campaign: written to a file, or served while the campaign goes on.

Nothing here writes into a record. A page is made of the summary that ``alkit status`` shows, and of what is beside it:
the images, the features that are on disk, and the predictions of the last model.
"""

"""Notes for annotators that every oracle words alike."""

WITHDRAWN = "This query was withdrawn: nobody needs to answer it. An answer is still accepted."

GIVEN_TO_OTHERS = "This image was given to somebody else. An answer of yours still counts, if it comes."
"""Note about a query that was assigned to somebody else."""

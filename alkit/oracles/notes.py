"""Notes for annotators that every oracle words alike."""

REVIEWED = "Reviewed: "
"""How a note about a label that was reviewed begins."""

WITHDRAWN = "This query was withdrawn: nobody needs to answer it. An answer is still accepted."

GIVEN_TO_OTHERS = "This image was given to somebody else. An answer of yours still counts, if it comes."
"""Note about a query that was assigned to somebody else."""

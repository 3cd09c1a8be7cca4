"""Notes for annotators that every oracle words alike."""

WITHDRAWN = "This query was withdrawn: nobody needs to answer it. An answer is still accepted."

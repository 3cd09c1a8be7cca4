"""Labels that were asked again, and what their reviews found."""

from __future__ import annotations

from datetime import datetime

from alkit.pages.campaign import Campaign
from alkit.pages.words import counted, listed, number, person, short, short_day
from alkit.report.blocks import AnyBlock
from alkit.report.page import Table, Text
from alkit.report.reviews import Review, in_words

MOST = 30
"""Greatest number of reviews that are listed."""

WHY = {"model": "the model disagreed", "disputed": "its annotators disagreed", "random": "drawn at random"}

ORDER = ("corrected", "rejected", None, "kept")
"""Outcomes in the order in which they are listed; None is a review that is still open."""


def reviews(campaign: Campaign) -> list[AnyBlock]:
    """Return the blocks about reviews; none if no label was asked again."""
    found = campaign.summary.reviews
    if not found:
        return []
    ordered = sorted(found, key=lambda review: (ORDER.index(review.outcome), review.asked_at, review.key))
    more = f" The first {MOST} of {number(len(found))}." if len(found) > MOST else ""
    return [
        *map(Text, in_words(found)),
        Table(
            ["image", "why", "first label by", "review by", "outcome", "agreement", "asked", "reason"],
            [_row(campaign, review) for review in ordered[:MOST]],
            f"{counted(len(found), 'review')}, those that changed a label first. Agreement: of the first label with "
            f"the second.{more}",
            words=(1, 2, 3, 7),
        ),
    ]


def _row(campaign: Campaign, review: Review) -> list[str]:
    asked = datetime.fromisoformat(review.asked_at).astimezone(campaign.now.tzinfo)
    return [
        short(review.id, 80),
        WHY[review.why],
        listed([person(name) for name in review.first]),
        "" if review.by is None else person(review.by),
        review.outcome or "open",
        f"{min(review.agreement.values()):.2f}" if review.agreement else "",
        short_day(asked, campaign.now),
        short(review.reason),
    ]

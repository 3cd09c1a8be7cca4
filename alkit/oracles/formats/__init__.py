"""Exchange with people and their tools by files: pictures, pre-labels and answers in common formats."""

"""Arms, designs, runs, and what their differences say."""

"""A run as a whole, over the steps of all rooms: what it is told; and what is live: promotions, garbage."""

"""The Feast repository; its objects are in `definitions`."""

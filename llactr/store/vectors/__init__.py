"""From the offline tables through the language model and back: the steps that tune, encode, write and release."""

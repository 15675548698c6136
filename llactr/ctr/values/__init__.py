"""Value vectors in a CTR model: in the embedding while it trains, folded afterwards, and for values never seen."""

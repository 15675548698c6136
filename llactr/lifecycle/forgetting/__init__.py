"""Being forgotten: users leave tables, stores, logs, caches, models; a receipt says what was removed where."""

"""Everything that touches Feast's private names: its registry, engines, stores, and what they throw."""

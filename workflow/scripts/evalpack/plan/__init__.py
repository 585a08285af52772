"""Planning: what fits where, in how many shards, in what order, for how long."""

"""Work that is spread over shards: in this process, or by the workers of any backend of joblib."""

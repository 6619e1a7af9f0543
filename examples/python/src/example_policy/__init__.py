"""An example policy service for hookgate."""

"""ldirectord's own terms: what a configuration says in its words, and its command line."""

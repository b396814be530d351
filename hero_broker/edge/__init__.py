"""What happens to any request before it is routed."""

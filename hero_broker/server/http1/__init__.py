"""HTTP/1.1 connections with bounds on time, bytes and descriptors."""

"""Serves HTTP/1.1 connections, with limits on time, bytes and file descriptors."""

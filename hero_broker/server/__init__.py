"""The host: settings become a running process, with its listeners and its orderly end."""

"""One module a command: ``run(cfg)`` does the work of one composed configuration."""

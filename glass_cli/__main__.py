"""`python -m glass_cli` is the same as `glass`."""

from glass_cli.cli import main

if __name__ == "__main__":
    main()

"""`python -m hero_broker`."""

from hero_broker.cli import main

if __name__ == "__main__":
    main()

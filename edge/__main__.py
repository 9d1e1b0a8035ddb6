"""`python -m edge VERB` is `greenhouse-edge VERB`."""

from edge.cli import main

if __name__ == "__main__":
    main()

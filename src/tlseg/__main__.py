"""`python -m tlseg` is the `tlseg` command."""

from tlseg.cli import main

if __name__ == "__main__":
    main()

"""`python -m nbpipe`."""

from nbpipe.cli.main import main

if __name__ == "__main__":
    main()

"""`python -m ccproxy` is `ccproxy`."""

from ccproxy.cli import main

if __name__ == "__main__":
    main()

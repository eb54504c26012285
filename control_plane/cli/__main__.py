"""`python -m control_plane.cli`."""

from control_plane.cli.start import main

if __name__ == "__main__":
    main()

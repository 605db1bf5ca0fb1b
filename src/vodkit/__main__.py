"""``python -m vodkit``: the command line where no script is on the path, as with torchrun -m."""

from vodkit.cli.main import main

if __name__ == "__main__":
    main()

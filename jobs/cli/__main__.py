"""`python -m llactr.jobs.cli`."""

from llactr.jobs.cli import main

if __name__ == "__main__":
    main()

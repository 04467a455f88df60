"""`python -m node`: the `perpnode` command."""

from node.cli.main import main

main()

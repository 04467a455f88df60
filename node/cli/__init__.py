"""The command line: `perpnode COMMAND`. Commands only; what they do stands in the layers below.

Each command imports what it needs when it runs, so that `--help` and a node process start fast.
Status 0 is success; a failure is one line on standard error and status 1, a wrong usage status 2.
"""

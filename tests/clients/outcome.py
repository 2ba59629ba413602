"""Prints what comes of each thing that a client does: its result, or an error by its type."""

import sys

failed = []


def show(name, do):
    try:
        print(f"{name}: {do()}")
    except Exception as error:
        note(name, error)


async def show_async(name, do):
    try:
        print(f"{name}: {await do()}")
    except Exception as error:
        note(name, error)


def note(name, error):
    failed.append(name)
    print(f"{name}: {type(error).__name__}: {error}")


def end():
    sys.exit(f"failed: {failed}" if failed else None)

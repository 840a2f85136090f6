"""A terminal of the operating system for stdout, and the lines that stand on its screen."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

CODE = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])")


class Terminal:
    """Everything that was written, and the screen that it leaves."""

    def __init__(self) -> None:
        self.text = ""

    @property
    def lines(self) -> list[str]:
        """The lines on the screen, of which nothing was erased."""
        screen, row, position = [""], 0, 0
        while position < len(self.text):
            code = CODE.match(self.text, position)
            if code is not None:
                position = code.end()
                if code[2] == "A":
                    row = max(0, row - int(code[1] or 1))
                elif code[2] == "K":
                    screen[row] = ""
                continue
            letter, position = self.text[position], position + 1
            if letter == "\n":
                row += 1
                screen += [""] * (row == len(screen))
            elif letter != "\r":
                screen[row] += letter
        return [line.rstrip() for line in screen if line.strip()]


@contextmanager
def terminal() -> Iterator[Terminal]:
    """Let stdout be a terminal inside the block; its text is complete afterwards."""
    import fcntl
    import pty
    import struct
    import termios

    shown, chunks = Terminal(), []
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))

    def read() -> None:
        try:
            while chunk := os.read(master, 4096):
                chunks.append(chunk)
        except OSError:  # Linux says so when the other end is closed
            pass

    reader = threading.Thread(target=read)
    before, sys.stdout = sys.stdout, open(slave, "w", encoding="utf-8")  # noqa: SIM115
    reader.start()
    try:
        yield shown
    finally:
        sys.stdout, ours = before, sys.stdout
        ours.close()
        reader.join()
        os.close(master)
        shown.text = b"".join(chunks).decode()

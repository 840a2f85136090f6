"""One peer in a process of its own: reads lines of JSON, answers with lines of JSON.

``["train", "W1"]`` answers the first losses; ``["adam", size]`` answers null; ``["run", n]`` takes n steps of
what was set up last and answers their seconds; ``["memory"]`` answers the peak of memory in MiB.
"""

from __future__ import annotations

import json
import resource
import sys
import time

from .peers import PEERS, limit_threads
from .workloads import WORKLOADS


def main(peer: str) -> None:
    """Serve until the input ends."""
    limit_threads()
    train, adam = PEERS[peer][1]()
    step = None
    for line in sys.stdin:
        command, *arguments = json.loads(line)
        answer: object = None
        if command == "train":
            step = train(WORKLOADS[arguments[0]])
            answer = [step() for _ in range(4)]
        elif command == "adam":
            step = adam(arguments[0])
            step()
        elif command == "run":
            seconds = []
            for _ in range(arguments[0]):
                started = time.perf_counter()
                step()
                seconds.append(time.perf_counter() - started)
            answer = seconds
        elif command == "memory":
            answer = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])

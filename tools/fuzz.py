"""`make fuzz`: people play at random on the rules and on the reference until the two differ.

Chain after chain, each with its own parameters and its own generator seeded by (seed, chain): the
same arguments play the same. A step is what one person asks for; after each block all balances,
positions, orders, indices, prices and modes are compared and every invariant is checked. The first
difference ends the run with exit status 1, and says how to play its chain again.

    make fuzz ARGS='--seed 7 --steps 1000000'
    make fuzz ARGS='--seed 7 --chain 3'           that chain again, compared after every step
"""

import argparse
import sys
import time
from collections import Counter
from itertools import count
from random import Random  # noqa: TID251 (a tool that plays people; no validator runs it)

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tests.properties.driver import Pair
from tests.properties.player import Player
from tests.properties.setups import SETUPS

BLOCKS = 400
"""How long each chain lives."""

console = Console(stderr=True)


class Found(Exception):
    """What one chain found: a difference, a broken invariant, or an error of the rules."""

    def __init__(self, chain: int, block: int, error: Exception) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.chain = chain
        self.block = block
        self.error = error


class Tally:
    """What all chains did so far."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.chains = 0
        self.blocks = 0
        self.steps = 0
        self.accepted = 0
        self.events: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()

    def line(self, seed: int) -> Text:
        """Return the progress line."""
        rate = self.steps / max(time.perf_counter() - self.started, 1e-9)
        return Text(
            f"seed {seed}  chain {self.chains}  {self.blocks:,} blocks  "
            f"{self.steps:,} steps ({self.accepted:,} taken)  {rate:,.0f} steps/s"
        )


def play(seed: int, chain: int, tally: Tally, *, steps_max: int | None, closely: bool) -> None:
    """Play one chain; raise Found where the two opinions part."""
    pair = Pair(SETUPS[chain % len(SETUPS)])
    player = Player(pair, Random(f"{seed}/{chain}"))
    steps, accepted = 0, 0
    try:
        for _ in range(BLOCKS):
            elapsed_ms, actions = player.choose_block()
            pair.run_block(elapsed_ms, actions, closely=closely)
            tally.blocks += 1
            tally.steps += pair.actions - steps
            tally.accepted += pair.accepted - accepted
            steps, accepted = pair.actions, pair.accepted
            if player.is_over or (steps_max is not None and tally.steps >= steps_max):
                break
    except Exception as error:  # whatever the rules raise here is what we look for
        tally.steps += pair.actions - steps
        raise Found(chain, pair.engine.height, error) from error
    finally:
        tally.events += pair.events
        tally.asked += pair.asked
    tally.chains += 1


def show(seed: int, tally: Tally) -> None:
    """Print what was played, which events it reached, and what was taken or refused, and why."""
    console.print(tally.line(seed))
    for title, counted in (("event", tally.events), ("asked for: refusal", tally.asked)):
        table = Table(title, "times", box=None)
        for name, times in counted.most_common():
            table.add_row(name, f"{times:,}")
        console.print(table)


def main() -> int:
    """Play until the steps are done, somebody interrupts, or a difference is found."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, help="default: taken from the clock, and printed")
    parser.add_argument("--steps", type=int, help="stop after this many; default: never")
    parser.add_argument("--chain", type=int, help="only this one, compared after every step")
    options = parser.parse_args()
    seed = time.time_ns() % 1_000_000 if options.seed is None else options.seed
    chains = count() if options.chain is None else [options.chain]
    closely = options.chain is not None
    tally = Tally()
    status = 0
    try:
        with Live(console=console, transient=True, get_renderable=lambda: tally.line(seed)):
            for chain in chains:
                play(seed, chain, tally, steps_max=options.steps, closely=closely)
                if options.steps is not None and tally.steps >= options.steps:
                    break
    except KeyboardInterrupt:
        pass
    except Found as found:
        console.print(
            f"seed {seed}, chain {found.chain}, block {found.block}, step {tally.steps}: {found}",
            style="bold red",
            markup=False,
            soft_wrap=True,
        )
        console.print(f"again: make fuzz ARGS='--seed {seed} --chain {found.chain}'", markup=False)
        if not isinstance(found.error, AssertionError):
            console.print_exception(max_frames=6)
        status = 1
    show(seed, tally)
    return status


if __name__ == "__main__":
    sys.exit(main())

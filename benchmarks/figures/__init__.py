"""Every figure of README and docs, made again from the tree that is here, by one command.

    make figures [FIGURES=face,streams] [DATA=FACES] [BUSY=1] [FRESH=1]
    python -m benchmarks.figures [NAME ...] [--data FACES] [--busy] [--fresh]
    python -m benchmarks.figures --list | --check | --write

Each figure has a command, which writes JSON; what it wrote lies in docs, and with it under ``measured``: commit and
source, date, processor, cores, load, and what share of the processors others used before it and during it. A figure
that was made of this source is not made again, so that an interrupted run goes on; ``--fresh`` makes it again.

Figures of time are claims on a quiet machine only. On another one they are left out; with ``--busy`` they are measured
and are no claim. Pages show claims, and figures that do not hang on time: after each figure its numbers are written
into the pages, where the templates of `benchmarks.figures.registry` have them. ``--check`` compares pages with files,
as `make test` does; ``--write`` writes them anew. docs/figures.md is the list of all, with what was found.
"""

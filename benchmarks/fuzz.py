"""Read a million damaged files: each is read, or refused by the one error that its reader documents.

A finding is any other exception, more than 2 s of computing, or more than 512 MiB of memory; its file is kept.  The
files are mutations of small valid ones, the same for the same seed; those with a new outcome are mutated further.  With
`--engine atheris` (pip install atheris) libFuzzer chooses by coverage instead, one target a process.

Run: python benchmarks/fuzz.py [--target svg] [--executions 1134000] [--seed 0] [--findings FOLDER]
Read a finding again: python benchmarks/fuzz.py --target svg --replay FILE
"""

import argparse
import json
import logging
import random
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

_MAX_SECONDS, _MAX_KIB, _HANGS_S = 2.0, 512 << 10, 20
_POOL = 400  # files that are mutated further: so many that were read, and so many that were refused
_VALID, _KEPT = 0.8, 0.01  # shares of mutations of files that were read, and of files read that are mutated further
_DETAILS = re.compile(r"[\"'(].*?[\"')]|\d+")


class _Hangs(BaseException):
    """A file has taken `_HANGS_S` of computing; no reader can catch it as an error of a decoder."""


class Judge:
    """Reads files with a target and keeps those whose outcome is a finding."""

    def __init__(self, name: str, target: Any, folder: Path, findings: Path | None) -> None:
        self.name, self.target, self.findings = name, target, findings
        self.outcomes, self.kinds = Counter[str](), dict[str, int]()
        self._path, self._peak = folder / target.name, _peak_kib()

    def outcome(self, data: bytes) -> str:
        """Return "read", the class and kind of a refusal, or what is wrong."""
        self._path.write_bytes(data)
        begin = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, _HANGS_S)
        try:
            self.target.read(self._path)
            found = "read"
        except self.target.refusals as error:
            found = f"{type(error).__name__}: {_DETAILS.sub('', str(error).replace(str(self._path), ''))[:120]}"
        except _Hangs:
            found = "finding: hangs"
        except Exception as error:
            at = traceback.extract_tb(error.__traceback__)[-1]
            found = f"finding: {type(error).__name__} at {Path(at.filename).name}:{at.lineno}"
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        seconds, peak = time.process_time() - begin, _peak_kib()
        if seconds > _MAX_SECONDS and found != "finding: hangs":
            found = f"finding: {seconds:.0f} s"
        if peak - self._peak > _MAX_KIB:
            found = f"finding: {(peak - self._peak) >> 10} MiB"
        self._peak = peak
        self._count(found, data)
        return found

    def _count(self, found: str, data: bytes) -> None:
        self.outcomes["finding" if found.startswith("finding") else found.partition(":")[0]] += 1
        self.kinds[found] = self.kinds.get(found, 0) + 1
        if found.startswith("finding") and self.kinds[found] <= 3:
            print(self.name, found, flush=True)
            if self.findings is not None:
                label = re.sub(r"\W+", "-", found.removeprefix("finding: "))
                (self.findings / f"{self.name}-{label}-{self.kinds[found]}").write_bytes(data)


def _peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def fuzz(judge: Judge, seeds: list[bytes], executions: int, seed: int) -> dict[str, Any]:
    """Read `executions` mutations of the seeds; return how many there were of each outcome."""
    from fuzz_mutations import mutated

    rng, begin = random.Random(f"{judge.name} {seed}"), time.perf_counter()
    for data in seeds:
        assert judge.outcome(data) == "read", f"{judge.name}: a valid file is refused: {judge.kinds}"
    valid, refused, seen = list(seeds), list(seeds), {"read"}
    for _ in range(executions - len(seeds)):
        pool = valid if rng.random() < _VALID else refused
        data = mutated(judge.target.kinds, rng.choice(pool), rng, valid)
        found = judge.outcome(data)
        if found == "read" and rng.random() < _KEPT:
            _keep(data, valid, rng, len(seeds))
        elif found not in seen:
            seen.add(found)
            _keep(data, refused, rng, len(seeds))
    return _figures(judge, time.perf_counter() - begin)


def _keep(data: bytes, pool: list[bytes], rng: random.Random, seeds: int) -> None:
    """Add a file to those that are mutated further, in the place of another once there are many."""
    pool.append(data)
    if len(pool) > _POOL:
        del pool[seeds + rng.randrange(_POOL - seeds)]


def _figures(judge: Judge, seconds: float) -> dict[str, Any]:
    about = {"target": judge.name, "executions": sum(judge.outcomes.values()), "seconds": round(seconds, 1)}
    findings = {kind: count for kind, count in judge.kinds.items() if kind.startswith("finding")}
    return about | dict(judge.outcomes) | {"kinds": len(judge.kinds), "findings": findings}


def fuzz_by_coverage(judge: Judge, seeds: list[bytes], executions: int, seed: int, corpus: Path) -> None:
    """Let libFuzzer choose what to mutate, by the coverage of the package; ends the process."""
    import atheris
    from fuzz_mutations import mutated

    for number, data in enumerate(seeds):
        (corpus / str(number)).write_bytes(data)
    begin = time.perf_counter()

    def one(data: bytes) -> None:
        judge.outcome(data)
        if sum(judge.outcomes.values()) == executions:
            print(json.dumps(_figures(judge, time.perf_counter() - begin)), flush=True)

    def mutate(data: bytes, longest: int, number: int) -> bytes:
        rng = random.Random(number)
        return atheris.Mutate(data, longest) if number % 4 == 0 else mutated(judge.target.kinds, data, rng, seeds)

    options = [f"-runs={executions}", f"-seed={seed + 1}", "-max_len=6000", "-print_final_stats=1", "-timeout=30"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], one, custom_mutator=mutate)
    atheris.Fuzz()


def _load_targets(engine: str) -> dict[str, Any]:
    """Import the package, instrumented if libFuzzer is to see its coverage."""
    if engine == "atheris":
        import atheris

        with atheris.instrument_imports(include=["napari_pathseg"]):
            from fuzz_targets import TARGETS
    else:
        from fuzz_targets import TARGETS
    return dict(TARGETS)


def _raise_hang(*_: object) -> None:
    raise _Hangs


def main() -> None:
    """Fuzz the chosen targets, print the figures of each, and exit with 1 if there are findings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", default="all")
    parser.add_argument("--executions", type=int, help="of all targets together, or of the one that is named")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine", choices=["own", "atheris"], default="own")
    parser.add_argument("--findings", type=Path, default=Path(tempfile.gettempdir()) / "pathseg-findings")
    parser.add_argument("--replay", type=Path)
    args = parser.parse_args()
    targets = _load_targets(args.engine)
    chosen = targets if args.target == "all" else {args.target: targets[args.target]}
    warnings.simplefilter("ignore")
    logging.disable()
    signal.signal(signal.SIGPROF, _raise_hang)
    whole, findings = sum(target.share for target in chosen.values()), 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if args.replay is not None:
            (folder / chosen[args.target].name).write_bytes(args.replay.read_bytes())
            chosen[args.target].read(folder / chosen[args.target].name)
            return
        args.findings.mkdir(parents=True, exist_ok=True)
        for name, target in chosen.items():
            (folder / name).mkdir()
            seeds, judge = target.seeds(folder / name), Judge(name, target, folder, args.findings)
            count = target.share * 1000 if args.executions is None else args.executions * target.share // whole
            if args.engine == "atheris":
                fuzz_by_coverage(judge, seeds, count, args.seed, folder / name)
            print(json.dumps(figures := fuzz(judge, seeds, count, args.seed)), flush=True)
            findings += len(figures["findings"])
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()

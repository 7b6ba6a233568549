"""One audit from start to end: what is measured is kept at once, so that it can go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from goodviews import report
from goodviews.data import Loaded
from goodviews.evaluation.features import draw
from goodviews.files import write_atomic
from goodviews.interfaces import ImageSource, UserError
from goodviews.studies.audit import own, readings
from goodviews.studies.audit.bank import Narrow, Pairs, Sizing, gather, raw, view_pairs
from goodviews.studies.audit.compare import Sample
from goodviews.studies.audit.contenders import (
    LAYERS,
    RUN,
    Contender,
    accuracy_of,
    field_of,
    nats_of,
)
from goodviews.studies.audit.every import every_kind
from goodviews.studies.audit.fresh import ALL_PAIRS, fit
from goodviews.studies.audit.shape import conditions_of, geometry
from goodviews.studies.audit.subject import Subject, weights_of
from goodviews.studies.audit.verdict import (
    FULL,
    RULES,
    Standing,
    pairs_of,
    rank_correlation,
    verdict,
)
from goodviews.studies.conclude import RAW, UNTRAINED
from goodviews.studies.folder import environment, plain, read_json, write_json
from goodviews.studies.online import labelled

PROTOCOL = 1
"""Raised when an audit's numbers would come out otherwise."""
PROBE_IMAGES = 10_000
"""The most labelled images that probes are fitted on, and are read on."""
GEOMETRY_PAIRS = 2048
"""Held-out view pairs whose geometry is read."""
FILE = "audit.json"

Echo = Callable[[str], None]


@dataclass
class Audit:
    """What an audit returns."""

    record: dict[str, Any]
    """What audit.json holds: checks, contenders, pairs, verdict, rules, settings."""
    out: Path | None

    @property
    def verdict(self) -> str:
        """The verdict in one line."""
        line: str = self.record["verdict"]["line"]
        return line


class Session:
    """Measures a subject on data, part by part.

    Args:
        subject: what is audited.
        loaded: its data.
        seeds: how many untrained networks, and fresh critics of everything else.
        seed: of the first.
        out: where results are kept; None keeps nothing.
        command: how to run it again.
        echo: takes the printed lines.
    """

    def __init__(
        self,
        subject: Subject,
        loaded: Loaded,
        seeds: int,
        seed: int,
        out: Path | None,
        command: str,
        echo: Echo,
    ) -> None:
        self.subject, self.loaded, self.out, self.echo = subject, loaded, out, echo
        self.command, self.seed = command, seed
        self.seeds = [seed + 1 + i for i in range(seeds)]
        self.sizing = Sizing.of(len(loaded.train), len(loaded.test))
        if not self.sizing.sizes:
            raise UserError(
                f"--data: {len(loaded.test)} held-out images are too few for an audit. "
                "Use data with 8 or more, better 1,000."
            )
        self.train = draw(loaded.train, self.sizing.train, seed)
        self.held = draw(loaded.test, self.sizing.held, seed)
        self.device = next(subject.method.parameters()).device
        self.labelled = labelled(loaded.train, loaded.test)
        self.field = field_of(subject, loaded.train.shape, self.seeds)
        self.notes = [*subject.notes, *self.field.notes]
        self.narrow: dict[str, Narrow] = {}
        self.bank: dict[str, tuple[Pairs, Pairs]] = {}
        self.settings = plain(
            {
                "protocol": PROTOCOL,
                **subject.facts,
                "weights": weights_of(subject.method),
                "data": loaded.name,
                "images": [len(loaded.train), len(loaded.test)],
                "labelled": self.labelled,
                "seeds": self.seeds,
                **asdict(self.sizing),
            }
        )
        self.measured: dict[str, Any] = self._opened()

    # --- keeping ----------------------------------------------------------------------------------

    def _opened(self) -> dict[str, Any]:
        """What was measured before with the same settings.

        Raises:
            UserError: the folder holds another audit, or something else.
        """
        if self.out is None:
            return {}
        path = self.out / FILE
        if not path.exists():
            if self.out.exists() and (not self.out.is_dir() or any(self.out.iterdir())):
                raise UserError(f"--out: {self.out} is not empty and holds no audit. Use another.")
            return {}
        before = read_json(path)
        old = before.get("settings", {})
        changed = [n for n in self.settings if n != "run" and old.get(n) != self.settings[n]]
        if changed:
            told = ", ".join(f"{n}: {old.get(n)} -> {self.settings[n]}" for n in changed[:3])
            raise UserError(
                f"--out: {self.out} holds an audit with other settings ({told}). "
                "Use another --out, or the same settings to go on."
            )
        measured: dict[str, Any] = before.get("measured", {})
        return measured

    def _keep(self) -> None:
        if self.out is not None:
            record = {"format": 1, "settings": self.settings, "measured": self.measured}
            write_json(self.out / FILE, record | {"command": self.command})

    def _part(self, name: str, what: str, compute: Callable[[], Any]) -> Any:
        """Measure one part unless it is kept; how long it took is told and kept."""
        if name in self.measured:
            self.echo(f"{what}: kept from before")
            return self.measured[name]
        began = time.perf_counter()
        self.measured[name] = plain(compute())
        seconds = time.perf_counter() - began
        self.measured.setdefault("seconds", {})[name] = round(seconds, 1)
        self._keep()
        self.echo(f"{what}: {seconds:.0f} s")
        return self.measured[name]

    def _kept(self, name: str) -> Path | None:
        """Where a contender's numbers image by image are."""
        safe = "".join(c if c.isalnum() else "-" for c in name)
        return None if self.out is None else self.out / "kept" / f"{safe}.npz"

    # --- measuring --------------------------------------------------------------------------------

    def run(self) -> Audit:
        """All parts, the verdict, the page."""
        self._say_plan()
        subject, seed = self.subject, self.seed
        own_sizes = own.affordable(self.sizing.sizes, self.loaded.train.shape)
        if subject.scored:
            self._part(
                "ceiling",
                "own critic at every K",
                lambda: own.by_candidates(subject, self.train, self.held, own_sizes, seed),
            )
        standings = [self._contender(contender) for contender in self.field.contenders]
        self._part("critics", "critics of every kind", self._critics)
        if subject.scored:
            self._part(
                "negatives", "other negatives", lambda: own.by_negatives(subject, self.held, seed)
            )
        self._part("geometry", "geometry", self._geometry)
        return self._concluded(standings)

    def _say_plan(self) -> None:
        s = self.sizing
        self.echo(
            f"audit of {self.subject.name}: critics are trained on {s.train * s.train_draws:,} "
            f"view pairs of {s.train:,} images and read on {s.held * s.held_draws:,} of "
            f"{s.held:,} held-out ones, K up to {s.sizes[-1]}, {len(self.seeds)} seeds"
        )
        for note in self.notes:
            self.echo(f"note: {note}")
        if not self.labelled:
            self.echo("note: no labels, so probes and the verdict are left out")

    def _pairs(self, keys: set[str]) -> dict[str, tuple[Pairs, Pairs]]:
        """Training and held-out features of these keys, and of all that will be wanted soon."""
        missing = keys - set(self.bank)
        if missing:
            began = time.perf_counter()
            for contender in self.field.contenders:
                if contender.name not in self.measured.get("contenders", {}):
                    missing |= set(contender.keys) - set(self.bank)
            seen, held = (
                gather(
                    self.field.readers,
                    partial(self._views, source, draws, offset),
                    len(source),
                    self.narrow,
                    missing,
                )
                for source, draws, offset in (
                    (self.train, self.sizing.train_draws, 0),
                    (self.held, self.sizing.held_draws, 1),
                )
            )
            self.bank |= {key: (seen[key], held[key]) for key in missing}
            self.echo(f"view pairs read by all networks: {time.perf_counter() - began:.0f} s")
        return {key: self.bank[key] for key in keys}

    def _views(
        self, source: ImageSource, draws: int, offset: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        views, partners = self.subject.method.views, self.subject.partners
        return view_pairs(views, source, partners, draws, 2 * self.seed + offset, self.device)

    def _contender(self, contender: Contender) -> Standing:
        """Nats and probe of one contender, kept under its name."""
        known = self.measured.setdefault("contenders", {})
        path = self._kept(contender.name)
        if contender.name in known and path is not None and path.is_file():
            self.echo(f"{contender.name}: kept from before")
            with np.load(path, allow_pickle=False) as arrays:
                nats = Sample(arrays["nats"])
                right = Sample(arrays["right"]) if "right" in arrays else None
            return Standing(contender.name, nats, right, contender.of)
        began = time.perf_counter()
        entry, nats, right = self._measured(contender)
        entry["seconds"] = round(time.perf_counter() - began, 1)
        known[contender.name] = plain(entry)
        if path is not None:
            arrays = {"nats": nats.values} | ({} if right is None else {"right": right.values})
            write_atomic(path, lambda p: np.savez_compressed(p, allow_pickle=False, **arrays))
        self._keep()
        told = "" if right is None else f", probe {100 * right.mean:.1f} %"
        self.echo(
            f"{contender.name}: {nats.mean:.2f} nats ({entry['chosen']}){told}, "
            f"{entry['seconds']:.0f} s"
        )
        return Standing(contender.name, nats, right, contender.of)

    def _measured(self, contender: Contender) -> tuple[dict[str, Any], Sample, Sample | None]:
        pairs = self._pairs(set(contender.keys))
        seen, held = ({key: both[i] for key, both in pairs.items()} for i in (0, 1))
        sizes, batch = self.sizing.sizes, self.sizing.batch
        found, chosen = nats_of(contender, seen, held, sizes, self.seeds, batch, self.device)
        entry: dict[str, Any] = {
            "of": contender.of,
            "critics": {kind: one.to_dict() for kind, one in found.items()},
            "chosen": chosen,
            "networks": len(contender.keys),
            "probe": None,
        }
        if contender.name == RAW:
            entry["exact"] = bool(self.field.contenders[0].of)
            entry["half_pairs"] = self._with_half(pairs["pixels"], chosen)
        right = None
        if self.labelled:
            train, test = (
                draw(source, PROBE_IMAGES, self.seed, labelled=True)
                for source in (self.loaded.train, self.loaded.test)
            )
            right = accuracy_of(contender, train, test, self.seed)
            entry["probe"] = right.to_dict()
        return entry, found[chosen].held, right

    def _with_half(self, pairs: tuple[Pairs, Pairs], kind: str) -> float:
        """What one critic finds from half of the training images."""
        seen, held = pairs
        half = seen.images // 2
        rows = (seen.images * torch.arange(seen.draws)[:, None] + torch.arange(half)).flatten()
        some = Pairs(seen.x[rows], seen.y[rows], half)
        sizes, batch = self.sizing.sizes[-1:], self.sizing.batch
        found = fit(
            kind, "infonce", some, held, sizes, self.seeds[:1], batch=batch, device=self.device
        )
        return found.held.mean

    def _critics(self) -> dict[str, Any]:
        """Every kind of critic on what the run's own critic reads, both bounds."""
        layer = self.subject.scored_layer
        key = f"run/{layer}"
        k = max(size for size in self.sizing.sizes if size <= ALL_PAIRS)
        kinds = every_kind(*self._pairs({key})[key], k, self.seeds, self.sizing.batch, self.device)
        rows = self.measured.get("ceiling") or []
        mine = next((row["held"] for row in rows if row["K"] == k), None)
        return {"K": k, "layer": layer, "own": mine, "kinds": kinds}

    def _geometry(self) -> dict[str, Any]:
        """Geometry of all layers, and conditioning of the encoder beside its untrained twin."""
        keys = {c.keys[0]: c.name for c in self.field.contenders if c.name in (*LAYERS, UNTRAINED)}
        few = draw(self.held, GEOMETRY_PAIRS, self.seed)
        layers = geometry(
            raw(self.field.readers, self._views(few, 1, 1), set(keys), GEOMETRY_PAIRS)
        )
        methods = {RUN: self.subject.method}
        if self.subject.untrained is not None:
            methods[UNTRAINED] = self.subject.untrained(self.seeds[0])
        conditions, note = conditions_of(methods, self.held)
        named = {name: layers[key] for key, name in keys.items()}
        return {"layers": named, "conditioning": conditions, "note": note}

    # --- concluding -------------------------------------------------------------------------------

    def _concluded(self, standings: list[Standing]) -> Audit:
        """The record, the page, the last lines."""
        known = self.measured["contenders"]
        self.measured["contenders"] = {s.name: known[s.name] for s in standings}
        candidates = self.sizing.sizes[-1]
        ceiling = float(np.log(candidates))
        pairs = pairs_of(standings, ceiling)
        correlation = rank_correlation(standings)
        ours = [s.name for s in standings if s.name in LAYERS]
        found = verdict(standings, pairs, ours, candidates, self._missing(standings, ceiling))
        record = {
            "format": 1,
            "name": self.subject.name,
            "settings": self.settings,
            "measured": self.measured,
            "K": candidates,
            "ceiling": ceiling,
            "pairs": pairs,
            "correlation": correlation,
            "checks": readings.checks(self.measured, pairs, correlation, found, self.labelled),
            "verdict": found,
            "rules": RULES,
            "notes": [*self.notes, *self._later_notes()],
            "command": self.command,
            "data": self.loaded.report,
            "environment": environment(),
        }
        record = plain(record)
        self.echo("")
        self.echo(report.audit_table(record))
        self.echo("")
        self.echo(f"verdict: {found['line']}")
        if found["truth"]:
            self.echo(found["truth"])
        if self.out is not None:
            self.echo(f"record: {write_json(self.out / FILE, record)}")
            self.echo(f"page: {report.audit_page(self.out)}")
        return Audit(record, self.out)

    def _missing(self, standings: list[Standing], ceiling: float) -> list[str]:
        """What the verdict lacks."""
        lines = []
        if not self.labelled:
            lines.append("there are no labels, so nothing was probed; add --labels FILE.csv")
        if full := [s.name for s in standings if s.nats.mean > FULL * ceiling]:
            lines.append(
                "near the ceiling log K, so that more is shared than can be shown with this many "
                f"held-out images: {', '.join(full)}"
            )
        if self.subject.untrained is None:
            lines.append("there is no untrained network of the same design")
        if len(self.seeds) == 1:
            lines.append("one seed: the spread over critics and untrained networks is not known")
        lines.append("one trained run: how its numbers spread over training seeds is not known")
        return lines

    def _later_notes(self) -> list[str]:
        note = (self.measured.get("geometry") or {}).get("note")
        return [note] if note else []

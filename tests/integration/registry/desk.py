"""A finished workspace beside a real registry, for tests that register, promote and roll back."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from components.manifest import publish, read_manifest
from components.registry.aliases import list_versions
from components.registry.gate import Decision
from components.registry.ledger import Ledger
from components.registry.params import RegistryParams
from components.registry.register import register
from components.registry.store import Models, open_models
from components.tracking.params import TrackingParams
from tests.unit.tracking import synthetic

ARM = "poly_epo"


class Desk:
    """A finished workspace whose candidate can be replaced by a better or worse one."""

    def __init__(self, root: Path, uri: str, *, model: str = "", fresh: bool = True) -> None:
        self.root, self.workspace = root, root / "workspace"
        name = model or f"m{hashlib.sha256(str(root).encode()).hexdigest()[:12]}"
        self.params = synthetic.make_params(root, [ARM], uri=uri, experiment=f"experiment of {name}")
        self.set_registry(model=name)
        if fresh:
            synthetic.make_base(self.workspace)
            synthetic.claim_arm(self.params, self.workspace, ARM)
            synthetic.add_iteration(self.workspace, ARM, 1)
            synthetic.finish_arm(self.workspace, ARM)
            synthetic.add_evaluation(self.workspace, "base", synthetic.rewards_with_rate(0.2))

    def set_registry(self, **values) -> None:
        sections = dict(self.params._sections)
        sections["registry"] = self.params[RegistryParams].model_copy(update=values)
        self.params = type(self.params)(sections)

    def candidate(self, rate: float, weights: str, **evaluation) -> None:
        with publish(self.workspace / "improve" / ARM / "final", fingerprint=weights, facts={"version": 4}) as final:
            (final / "model.safetensors").write_text(weights)
        synthetic.add_evaluation(self.workspace, ARM, synthetic.rewards_with_rate(rate), **evaluation)

    def register(self) -> Decision:
        return register(
            self.params,
            evaluations=self.workspace / "evaluation",
            policy=self.workspace / "improve" / ARM / "final",
            candidate=ARM,
            out=self.workspace / "promotion",
            reports=self.root / "reports",
            state=self.root / "state" / "tracking",
            sets=self.root / "sets",
        )

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.models.store, self.models.name)

    @property
    def models(self) -> Models:
        return open_models(self.params[TrackingParams], self.params[RegistryParams].model)

    def aliases(self) -> dict[str, int]:
        return {alias: version.number for version in list_versions(self.params) for alias in version.aliases}

    def document(self) -> bytes:
        return (self.workspace / "promotion" / "decision.json").read_bytes()

    def policy_digest(self) -> str:
        """Digest of the candidate's policy directory."""
        return read_manifest(self.workspace / "improve" / ARM / "final").digest

    def document_policy(self) -> str:
        """Digest of the policy that the published decision is about."""
        return json.loads(self.document())["policy"]

    def forget_decision(self) -> None:
        (self.workspace / "promotion" / "manifest.json").unlink()

"""``poly-epo rollout-server``: vLLM's environment, and servers that outlive a command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(help="Install vLLM in an environment of its own; start, see and stop rollout servers.")

State = Annotated[Path, typer.Option(help="Local state: records and logs of the servers.")]
_STATE = Path(".poly-epo")


@app.command()
def install() -> None:
    """Install vLLM's CPU build into .vllm, or into the directory that POLY_EPO_VLLM_ENV names (3 GB, minutes)."""
    from components.rollout.vllm_environment import install as install_vllm  # noqa: PLC0415

    environment = install_vllm()
    typer.echo(f"vLLM {environment.version} ({'GPU' if environment.on_gpu else 'CPU'}): {environment.python}")


@app.command()
def start(
    model: Annotated[Path, typer.Option(help="Directory of the model it starts with (weights, config, tokenizer).")],
    port: Annotated[int, typer.Option(help="TCP port on 127.0.0.1; 0 takes a free one.")] = 0,
    gpu: Annotated[int | None, typer.Option(help="Index of the GPU it runs on.")] = None,
    name: Annotated[str, typer.Option(help="Name under which the model is served.")] = "policy",
    params: Annotated[Path, typer.Option(help="Parameters; section rollout.vllm is used.")] = Path("params.yaml"),
    state: State = _STATE,
) -> None:
    """Start a server in the background and return when it answers; put its address into rollout.vllm.urls."""
    from components.params import load_params  # noqa: PLC0415
    from components.rollout.params import RolloutParams  # noqa: PLC0415
    from components.rollout.vllm_registry import start_server  # noqa: PLC0415

    vllm = load_params(params)[RolloutParams].vllm
    server = start_server(vllm, model, state=state, port=port, gpu=gpu, name=name)
    typer.echo(f"{server.url}   process {server.pid}   log {server.log_file}")


@app.command()
def status(state: State = _STATE) -> None:
    """List the servers started here: address, process, whether it answers, the policy it holds."""
    from components.rollout.vllm_registry import servers_of, state_of  # noqa: PLC0415

    servers = servers_of(state)
    for server in servers:
        typer.echo(f"{server.url}   process {server.pid}   {state_of(server)}   log {server.log_file}")
    if not servers:
        typer.echo("no rollout server was started here")


@app.command()
def stop(
    port: Annotated[int, typer.Option(help="The server on this port; 0: all of them.")] = 0, state: State = _STATE
) -> None:
    """Stop servers that `start` started."""
    from components.rollout.vllm_registry import servers_of, stop_server  # noqa: PLC0415

    for server in servers_of(state):
        if port in (0, server.port):
            stop_server(server, state)
            typer.echo(f"stopped {server.url}")

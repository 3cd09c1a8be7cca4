"""``alkit serve``: show the page of a campaign in a browser while the campaign goes on."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Annotated

import typer

from alkit.cli.expanding import expand
from alkit.cli.page_content import Content
from alkit.cli.printing import echo
from alkit.cli.stores import Record

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette

TOKEN = "ALKIT_PAGE_TOKEN"
"""Environment variable with the token. A token on the command line would be seen by all users of the machine."""


@expand
def serve(
    store: Record,
    port: Annotated[int, typer.Option(help="Port; 0: any that is free.")] = 8011,
    host: Annotated[
        str, typer.Option(help="Address to listen on. Any other than that of this machine needs a token.")
    ] = "127.0.0.1",
    name: Annotated[
        list[str] | None, typer.Option(help="Another name of this machine under which browsers may ask for the page.")
    ] = None,
    content: Content = Content(),  # noqa: B008 - the options are expanded
) -> None:
    """Show the page of a campaign in a browser while the campaign goes on. Ctrl-C ends it.

    It is the page of `alkit page`, made again when somebody looks at it. Nothing is written, nothing is sent to anybody
    else, and other processes may work on the record meanwhile. Only this machine can reach the page, unless --host says
    otherwise. Then a token is needed, which the printed address contains; the variable ALKIT_PAGE_TOKEN sets it, for
    this machine too. The connection is not encrypted: between machines, use a tunnel such as that of ssh -L.

    [dim]Examples:[/dim]

    [cyan]alkit serve campaign.db[/cyan]

    [cyan]alkit serve campaign.db --host 0.0.0.0 --port 8080[/cyan]
    """
    import os
    import secrets

    from alkit.checks import check_integer
    from alkit.cli.page_content import gathered
    from alkit.cli.records import record_at
    from alkit.pages.campaign import Memory
    from alkit.pages.live import LivePage
    from alkit.pages.page import campaign_html
    from alkit.pages.serving import application, check_installed, is_loopback

    check_installed()
    check_integer("--port", port, least=0, most=65535)
    only_here = is_loopback(host)
    token = os.environ.get(TOKEN) or (None if only_here else secrets.token_urlsafe(24))

    def make(memory: Memory) -> bytes:
        with record_at(store, read_only=True) as record:
            return campaign_html(gathered(record, str(store), content, memory))

    page = LivePage(make)
    page.html()  # an error is told here, and the first reader does not wait
    names = [socket.gethostname(), socket.getfqdn(), host, *(name or [])]
    app = application(page, token=token, names=[] if only_here else names, only_loopback=only_here)
    with _listening(host, port) as listener:
        shown = "localhost" if only_here else names[0] if host in ("0.0.0.0", "::") else host
        bracketed = f"[{shown}]" if ":" in shown else shown
        address = f"http://{bracketed}:{listener.getsockname()[1]}/" + (f"?token={token}" if token else "")
        echo(f"{store} is shown at {address}", "Ctrl-C ends it.")
        if not only_here:
            echo("alkit: the connection is not encrypted; ssh -L makes a tunnel that is", err=True)
        _run(app, listener)


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises
    ------
    ConfigurationError
        The address does not exist on this machine, or another program has the port.
    """
    from alkit.errors import ConfigurationError

    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as reason:
        raise ConfigurationError(
            f"cannot listen on {host}, port {port} ({reason.strerror})", hint="another --port, or --port 0"
        ) from reason


def server_of(app: Starlette) -> uvicorn.Server:
    """Return the server of an application."""
    import uvicorn

    from alkit.pages.impatient import ImpatientProtocol

    config = uvicorn.Config(
        app,
        http=ImpatientProtocol,
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,  # it would contain the token
        server_header=False,
        proxy_headers=False,
        limit_concurrency=100,
        timeout_graceful_shutdown=3,
    )
    return uvicorn.Server(config)


def _run(app: Starlette, listener: socket.socket) -> None:
    try:
        server_of(app).run(sockets=[listener])
    except KeyboardInterrupt:
        return

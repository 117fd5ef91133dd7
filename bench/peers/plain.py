"""Our own stack, written plainly: asyncio's streams and TLS, h11, wsproto; one send and one write for each recipient.

With a fourth argument, `sqlite:PATH`, each message is first stored, with the same durability as ours, in a transaction
of its own.
"""

import asyncio
import json
import sqlite3
import sys
import time
from collections import defaultdict
from urllib.parse import parse_qs, urlsplit

import h11
import wsproto
from shared import PORT, issue, tls, verify
from wsproto.events import AcceptConnection, CloseConnection, Message, Ping, RejectConnection, Request, TextMessage


class Store:
    """Each message in its own transaction, which survives a cut of the power."""

    def __init__(self, path: str) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = FULL")
        self.connection.execute(
            "CREATE TABLE entry (room TEXT, seq INTEGER, ts INTEGER, sender TEXT, text TEXT,"
            " PRIMARY KEY (room, seq)) WITHOUT ROWID"
        )

    def append(self, room: str, sender: str, text: str) -> None:
        with self.connection:
            self.connection.execute("BEGIN IMMEDIATE")
            self.connection.execute(
                "INSERT INTO entry SELECT ?, coalesce(max(seq), 0) + 1, ?, ?, ? FROM entry WHERE room = ?",
                (room, int(time.time() * 1000), sender, text, room),
            )


class Member:
    def __init__(self, socket: wsproto.WSConnection, writer: asyncio.StreamWriter) -> None:
        self.socket = socket
        self.writer = writer


rooms: defaultdict[str, set[Member]] = defaultdict(set)
store = Store(sys.argv[4].removeprefix("sqlite:")) if len(sys.argv) > 4 else None


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        connection = h11.Connection(h11.SERVER)
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await reader.read(4096))
            elif isinstance(event, h11.Request):
                url = urlsplit(event.target.decode())
                query = {name: values[0] for name, values in parse_qs(url.query).items()}
                if url.path == "/ws":
                    await talk(reader, writer, event, query)
                    return
                body = json.dumps(
                    {"token": issue(query["username"]), "username": query["username"], "expires_in": 86400}
                ).encode()
                headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
                writer.write(connection.send(h11.Response(status_code=200, headers=headers)))
                writer.write(connection.send(h11.Data(data=body)))
                writer.write(connection.send(h11.EndOfMessage()))
                await writer.drain()
            elif isinstance(event, h11.EndOfMessage):
                connection.start_next_cycle()
            else:
                return
    except (OSError, h11.RemoteProtocolError, wsproto.utilities.RemoteProtocolError):
        pass
    finally:
        writer.close()


async def talk(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: h11.Request, query: dict[str, str]
) -> None:
    socket = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
    socket.initiate_upgrade_connection(list(request.headers), request.target.decode())
    name, where = verify(query["token"]), query.get("room", "default")
    member, room = Member(socket, writer), rooms[where]
    try:
        while True:
            for event in socket.events():
                if isinstance(event, Request):
                    if name is None:
                        writer.write(socket.send(RejectConnection(status_code=401)))
                        return
                    writer.write(socket.send(AcceptConnection()))
                    room.add(member)
                elif isinstance(event, TextMessage):
                    if store is not None:
                        store.append(where, name, event.data)
                    message = Message(f"{name}: {event.data}")
                    for other in list(room):
                        other.writer.write(other.socket.send(message))
                elif isinstance(event, Ping):
                    writer.write(socket.send(event.response()))
                elif isinstance(event, CloseConnection):
                    writer.write(socket.send(event.response()))
                    return
            data = await reader.read(65536)
            if not data:
                return
            socket.receive_data(data)
    finally:
        room.discard(member)


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", PORT, ssl=tls())
    await server.serve_forever()


asyncio.run(main())

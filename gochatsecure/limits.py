"""Every bound of the server in one place: its unit, its reason, what others chose. Imports nothing of ours."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds that hold for one server; times are seconds, sizes are bytes unless the name says otherwise."""

    # TLS and HTTP, before anybody has signed in: the smallest that real clients still fit in.
    connections_per_minute: float = 1200.0  # from one address; their handshakes then take some 2 % of a core
    connections_at_once: float = 600.0  # an office of 200 behind one router comes back: each signs in, and tries twice
    handshake_s: float = 5.0  # a TLS handshake takes two round trips; nginx allows 60 s
    request_line: int = 4096  # fits any token of ours in the query; a larger one goes into a header; Apache: 8190
    request_head: int = 16 * 1024  # request line and headers together; Apache allows 8 KiB a line
    request_headers: int = 64  # header lines; browsers send some 20, nginx and Apache allow 100
    request_body: int = 8 * 1024  # a name and a 1024-byte password, JSON-escaped, fit
    head_s: float = 10.0  # from its first byte to the end of the head; Apache mod_reqtimeout: 10-20 s
    request_s: float = 20.0  # from its first byte to the end of the body
    idle_s: float = 15.0  # between two requests of one connection; nginx 75 s, Apache 5 s
    linger_s: float = 2.0  # after our last byte, for the peer to read it and close

    # WebSocket.
    message: int = 64 * 1024  # one whole message on the wire; the websockets library allows 1 MiB
    fragments: int = 64  # frames of one message; an empty fragment costs memory, too
    message_s: float = 10.0  # from a message's first frame to its last
    control_frames_per_s: int = 10  # pings and pongs; a client needs one in 20 s

    # Work in one turn of the loop, in units of some 10 us: a read costs 1, a message 4, an HTTP request 16.
    turn: int = 256  # of one connection
    turn_of_all: int = 1024  # of all connections together: then each has to make do with
    turn_at_least: int = 16  # so that a flood of many delays the others by tens of milliseconds only
    ping_s: float = 20.0  # of silence before we ask; under the 30 s of the shortest common NAT timers
    silence_s: float = 40.0  # of silence before we give a peer up: as long again for the ping's answer
    outbox: int = 1024 * 1024  # bytes that one session's socket does not take; IRC's SendQ is of that size
    pending: int = 64  # commands of one session that wait for their commit; more and we stop reading

    # The conversation.
    text: int = 4096  # bytes of one message in UTF-8; IRC allows 512, Discord 2000 characters
    names_listed: int = 200  # names in one answer to /who, rooms in one to /rooms
    history_page: int = 100  # messages in one answer to /history; Matrix clients ask for 20-100
    replay_page: int = 500  # entries in one answer to a join that resumes; Centrifugo recovers 300 at once
    search_pages: int = 10  # history pages looked through for one answer to a search
    rooms_per_session: int = 100  # IRC networks allow 50 to 200 channels
    room_rules: int = 1000  # people that a room bans, and that it mutes, invites, or gives a role; IRC lists 60 to 100
    typing_s: float = 2.0  # between two signs that one is typing; clients show one for some 5 s
    backlog: int = 64 * 1024  # characters of the messages in one answer; a quarter of an outbox once written out
    refusals: int = 100  # commands refused in a row, for whatever reason, before a session is closed
    refusals_per_minute: float = 60.0  # of one identity in the long run; twice `refusals` at once

    # Sign-in.
    token_s: int = 24 * 3600  # life of a token; the original's 24 hours
    guest_grace_s: float = 60.0  # a guest name stays held for its token after its last session left
    sessions_per_identity: int = 16  # devices and tabs of one person
    message_burst_s: float = 5.0  # seconds of the message rate that may be used at once
    sessions_per_minute: float = 300.0  # WebSockets that one address may open; an office behind one router
    identities_per_address: float = 20.0  # one address may do what so many identities may
    tracked_addresses: int = 65536  # addresses whose sign-in rate is remembered; the idle go first
    registrations_per_hour: float = 20.0  # names that one address may register; a class or a team in one go
    accounts: int = 100_000  # registered names, held in memory, some 500 bytes each; the operator may add more
    revocations: int = 100_000  # sign-ins that have ended before their tokens; beyond it guests cannot sign out
    guesses: int = 5  # wrong passwords for one name from one address; then 1, 2, 4, ... s between two
    guess_wait_s: float = 900.0  # at most; 100 guesses a day, as NIST SP 800-63B 5.2.2 allows in a row
    known_wait_s: float = 30.0  # at most, where somebody has signed in to that name lately
    known_s: float = 7 * 24 * 3600.0  # how long that is remembered
    guesses_of_name_per_minute: float = 10.0  # by strangers, however many
    guesses_of_address_per_minute: float = 20.0  # by a stranger, whatever the names
    guesses_per_minute: float = 300.0  # by strangers, all names together
    hashers: int = 2  # threads that hash passwords: 32 MiB each, and some 3 a second
    hashes: int = 32  # passwords that wait for one of them; strangers take half the places: 5 s at the most

    # What one identity may do, beside its commands.
    joins_per_minute: float = 120.0  # twice as many at once: a client comes back into 100 rooms after a break
    private_targets_per_minute: int = 30  # different names told something in private; who writes to more is a spammer

    # Storage.
    queue: int = 10_000  # entries waiting for a commit, all rooms together; beyond it senders are refused
    memory_entries: int = 100_000  # entries that the memory engine keeps, all rooms together

    # Files that may change while the server runs.
    look_s: float = 1.0  # between two looks at accounts, keys and certificate
    expiry_warning_s: float = 14 * 24 * 3600.0  # before a certificate expires; said at start and once a day

    # Going away.
    reconnect_s: float = 2.0  # a client that is told to go away comes back after about so long
    grace_s: float = 10.0  # for sessions to leave and the log to commit, at close

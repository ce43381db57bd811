"""`NetworkSources`: the constructors of sources that read from a network."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from arrowstream.core.duration import Duration
from arrowstream.core.mistakes.explain import explain_calls
from arrowstream.core.schemas import SchemaLike, declared_schema

if TYPE_CHECKING:
    from arrowstream.io.kafka.security import KafkaSecurity
    from arrowstream.io.kafka.source import KafkaSource
    from arrowstream.io.kafka.subscription import Isolation
    from arrowstream.io.messages.formats import MessageFormat
    from arrowstream.io.tcp.formats import TcpFormat
    from arrowstream.io.tcp.options import TcpLimits, Tls
    from arrowstream.io.tcp.source import TcpSource


@explain_calls
class NetworkSources:
    """Constructors of sources that read from a network; `Source` inherits them."""

    @staticmethod
    def from_tcp(
        address: str,
        *,
        format: TcpFormat = "ndjson",
        schema: SchemaLike | None = None,
        delimiter: str | None = None,
        clients: int | None = None,
        limits: TcpLimits | None = None,
        token: str | None = None,
        tls: Tls | None = None,
    ) -> TcpSource:
        r"""Listen on an address, and read the messages of all clients that connect to it.

        Parameters
        ----------
        address
            ``"host:port"``; without a host, as ``"9000"``, only this machine can connect (127.0.0.1).
            ``"0.0.0.0:9000"`` is every IPv4 address of the machine, ``"[::]:9000"`` every IPv6 one. Port 0 is any
            free port, which the log names, and ``.on_listening(function)`` of the source gives to a function.
        format
            ``"ndjson"`` (or ``"json"``): a line for each row. ``"csv"``: a line without a header for each row; a
            line end between quotes belongs to its field. ``"arrow"``: frames of Arrow IPC streams, each with its
            length before it, 4 bytes, the most significant first.
        schema
            Columns of the messages, in the forms of `from_file`; without it, the first messages show them.
        delimiter
            Delimiter between the fields of CSV; by default a comma.
        clients
            Number of clients with which the stream ends: once that many have connected, no other is let in, and
            the stream ends when all of them have closed. By default it goes on until `stop()`, a limit or a
            duration.
        limits
            What a client may do: a `TcpLimits` of sizes, rates, times and numbers of clients.
        token
            A secret that clients must know, best as ``"env:NAME"`` (a variable) or ``"file:PATH"`` (the first line
            of a file). The first bytes of a client are then the token and a newline; the answer is ``ok`` and a
            newline.
        tls
            `Tls` with the certificate and key of this end, and with `ca` to let in only clients with a
            certificate.

        Raises
        ------
        PlanError
            The address, the format or an option does not fit.
        SourceError
            While running: the address is in use or is not one of this machine, or the token or a certificate
            cannot be read. A message that is not what the format says is an error of the step `decode`, which
            ``.on_error(...)`` after the source handles.

        Notes
        -----
        Costs no thread. Rows of a client stay in its order. Holds the bytes that came and were not read, some
        `max_buffer_bytes` and at most twice that; while the pipeline is slower than its clients, nothing more is
        received, and they wait.

        Delivery is at most once: TCP has no place to start again from. What clients have sent and the pipeline has
        not read is lost when the run ends, and the report counts the bytes of it that had come. The other end of a
        connection knows that everything was received once the source closes it, which it does after the client
        has.

        A client that breaks a limit, or sends what no message begins with, is closed, and the whole messages
        before are read. The report counts such clients by reason, names the first with its address, and the log
        has a warning of the first. A message without its end when a client closes is left out and counted, too: it
        may have been cut. Blank lines of NDJSON are skipped. A quote in CSV that is never closed swallows the
        lines after it until the next quote, or until the client is closed as the line is too long.

        The position of a row, in errors and dead letters, is the client's address and the number of the message
        from 0: ``tcp 127.0.0.1:54321 messages 7-8``.

        Examples
        --------
        >>> import asyncio
        >>> from arrowstream import Pipeline, Source
        >>> async def main():
        ...     address = asyncio.get_running_loop().create_future()
        ...     source = Source.from_tcp("127.0.0.1:0", schema={"item": str, "price": int}, clients=1)
        ...     source = source.on_listening(address.set_result)
        ...     rows = asyncio.create_task(Pipeline.builder().source(source).collect())
        ...     host, port = (await address).split(":")
        ...     _, client = await asyncio.open_connection(host, int(port))
        ...     client.write(b'{"item":"tea","price":3}\n{"item":"cake","price":4}\n')
        ...     client.close()
        ...     return (await rows).rows()
        >>> asyncio.run(main())
        [('tea', 3), ('cake', 4)]
        """
        from arrowstream.io.messages.formats import decoder  # here, to keep importing arrowstream fast
        from arrowstream.io.tcp.address import Address
        from arrowstream.io.tcp.formats import csv_options, message_format
        from arrowstream.io.tcp.options import TcpLimits
        from arrowstream.io.tcp.source import TcpSource

        place = Address.of("from_tcp", address)
        form, options = message_format("from_tcp", format), csv_options("from_tcp", format, delimiter)
        messages = decoder(form, declared_schema("from_tcp", schema), options)
        return TcpSource(place, format, messages, token, tls, limits or TcpLimits(), clients)

    @staticmethod
    def from_kafka(
        servers: str | Iterable[str],
        topic: str | Iterable[str] | re.Pattern[str],
        *,
        group: str | None = None,
        format: MessageFormat = "json",
        schema: SchemaLike | None = None,
        format_options: object | None = None,
        metadata: str | Iterable[str] | Mapping[str, str] = (),
        start: Literal["earliest", "latest", "committed"] | Mapping[int | str, int] | datetime | None = None,
        stop_at_end: bool = False,
        partitions: Iterable[int] | None = None,
        isolation: Isolation = "read_committed",
        security: KafkaSecurity | Mapping[str, str | bool] | None = None,
        client_id: str = "arrowstream",
        session_timeout: Duration = "10s",
        discover_every: Duration = "1m",
        stuck_after: Duration = "1m",
    ) -> KafkaSource:
        """Read the records of Kafka topics: their values in one of several formats, and what comes with them.

        Parameters
        ----------
        servers
            Host and port of one server of the cluster or of several, such as ``"localhost:9092"``; the others are
            found through it.
        topic
            Name of a topic, several names, or a pattern: a compiled regular expression, or text that begins with
            ``^``, of which every topic is read whose name begins with a match.
        group
            Name of the consumer group, whose members share the partitions. Without one, this source reads all of
            them, and nothing is committed.
        format
            Format of the values: ``"json"`` (an object each), ``"raw"`` (the value itself, in a column ``value``),
            ``"csv"``, ``"arrow"`` (an IPC stream each), ``"avro"`` or ``"protobuf"``.
        schema
            Names and types of the columns, in the forms of `from_file`; for some formats the first values show them.
        format_options
            Options of the format, such as a schema registry.
        metadata
            What else becomes a column: names among ``key``, ``timestamp``, ``topic``, ``partition``, ``offset`` and
            ``headers``, or a dict from these to names of columns.
        start
            Where reading starts: at the ``"earliest"`` record, at the ``"latest"`` ones, which are written after the
            start, where the group has ``"committed"`` (the earliest where it has not), at a time, or at the offset
            of each partition in a dict (others at the earliest). By default ``"committed"`` with a group, else
            ``"earliest"``. Any other start than ``"committed"`` is also committed for the group, so that members
            which take over partitions go on from there; of several members, give it to one.
        stop_at_end
            Whether the stream ends at what are the last records when it starts. By default it never ends.
        partitions
            Numbers of the partitions to read, of each topic; by default all, also those that are added later. With
            numbers, a group gives out no partitions; its offsets are committed all the same.
        isolation
            ``"read_committed"`` leaves out records of transactions that were aborted or are still open, and what
            comes after an open one; ``"read_uncommitted"`` reads everything.
        security
            Encryption and login: a table of ``mechanism`` (``"PLAIN"``, ``"SCRAM-SHA-256"``, ``"SCRAM-SHA-512"`` or
            ``"OAUTHBEARER"``), ``username``, ``password``, ``token``, ``tls``, ``ca_file``, ``cert_file``,
            ``key_file``, ``key_password`` and ``check_hostname``, or a `KafkaSecurity` of these from
            `arrowstream.io.kafka.security`. Secrets as ``"env:NAME"`` or ``"file:PATH"`` are read when the connection
            opens; none is ever shown.
        client_id
            Name of this client in the logs and quotas of the servers.
        session_timeout
            Time without a sign of life after which the group gives the partitions of this source to others.
        discover_every
            Time between two looks for new partitions and topics.
        stuck_after
            Time without a record, while the servers have some, after which the run fails.

        Raises
        ------
        PlanError, SchemaError
            At once: an argument does not fit.
        SourceError
            While running: no server answers within 10 s, a topic does not exist, a record batch is damaged, records
            were deleted before they were read, or the consumer is stuck.
        MissingExtra
            At `build()`: aiokafka is not installed (extra: kafka).

        Notes
        -----
        Costs a connection to each server, and memory for what waits: 16 MiB as they were fetched, compressed or not,
        while the next 16 MiB are fetched, and decoded rows of 8 MiB and one record batch. Values are decoded from
        whole record batches into columns, without an object for each record. Holds no state; the position, which
        snapshots save, is the next offset of each partition.

        Event time is the least of the partitions, each of which advances by its own rows: a backlog that is read at
        different speeds makes no row late. A partition without rows holds event time back; with ``idle=``, silent
        partitions are left aside.

        A group commits offsets once their rows have reached the sinks: at the end of the run; and every 5 s, if no
        step holds rows, as windows do, and every sink shows rows at once, as `to_fn` and `to_kafka` do. What was
        read since the last commit is read again after a crash. A commit that fails is logged, and the next one makes
        it good; if the last one at the end fails, so does the run, although its sinks have all rows.

        When a group rebalances, rows that wait in this source are dropped, and whoever owns their partition next
        reads them; no member gets a row twice. Rows on their way to the sinks of a member that loses their partition
        may come out twice, and the report counts them.

        With checkpoints (``run(checkpoint=...)``), a run reads all partitions itself, also with a `group`, and goes
        on exactly at the offsets in the checkpoint. `start`, and what the group has committed, count for the first
        run; partitions that are new since the checkpoint start at their beginnings. After each checkpoint its
        offsets are committed for the group, for those who watch its lag. Offsets whose records are gone, as the
        servers have deleted them or as the topic was created again, are an error. With `stop_at_end`, each run ends
        at what are the last records when it starts.

        While the pipeline does not read, what is fetched is bounded, and the group keeps this member. Connections
        that break are made again.

        Examples
        --------
        >>> from arrowstream import Pipeline, Source
        >>> source = Source.from_kafka(
        ...     "localhost:9092",
        ...     "orders",
        ...     group="totals",
        ...     schema={"item": str, "price": float},
        ...     metadata=["timestamp"],
        ... )
        >>> builder = Pipeline.builder().source(source.with_event_time("timestamp", lateness="5s"))
        >>> dict(builder.schema())
        {'item': String, 'price': Float64, 'timestamp': Datetime(time_unit='ms', time_zone='UTC')}
        """
        from arrowstream.io.kafka.arguments import kafka_source  # here, to keep importing arrowstream fast
        from arrowstream.io.messages.formats import decoder

        return kafka_source(
            servers,
            topic,
            group=group,
            decoder=decoder(format, declared_schema("from_kafka", schema), format_options),
            metadata=metadata,
            start=start,
            stop_at_end=stop_at_end,
            partitions=partitions,
            isolation=isolation,
            security=security,
            client_id=client_id,
            session_timeout=session_timeout,
            discover_every=discover_every,
            stuck_after=stuck_after,
        )

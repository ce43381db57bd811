"""`NetworkSinks`: the constructors of sinks that write to a network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from arrowstream.core.duration import Duration
from arrowstream.core.mistakes.explain import explain_calls

if TYPE_CHECKING:
    from arrowstream.io.kafka.producing import KafkaCompression
    from arrowstream.io.kafka.security import KafkaSecurity
    from arrowstream.io.kafka.sink import KafkaSink
    from arrowstream.io.messages.formats import MessageFormat
    from arrowstream.io.tcp.formats import TcpFormat
    from arrowstream.io.tcp.options import Tls
    from arrowstream.io.tcp.sink import TcpSink


@explain_calls
class NetworkSinks:
    """Constructors of sinks that write to a network; `Sink` inherits them."""

    @staticmethod
    def to_kafka(
        servers: str | Iterable[str],
        topic: str | None = None,
        *,
        topic_column: str | None = None,
        key: str | None = None,
        partition: str | None = None,
        timestamp: str | None = None,
        headers: str | None = None,
        tombstone: str | None = None,
        value: str | Iterable[str] | None = None,
        format: MessageFormat = "json",
        format_options: object | None = None,
        compression: KafkaCompression | None = "lz4",
        compression_level: int | None = None,
        max_message_bytes: int = 1_000_000,
        idempotent: bool = True,
        delivery_timeout: Duration = "2m",
        security: KafkaSecurity | Mapping[str, str | bool] | None = None,
        client_id: str = "arrowstream",
    ) -> KafkaSink:
        """Write rows as the records of a Kafka topic, or of several.

        Parameters
        ----------
        servers
            Host and port of one server of the cluster or of several, such as ``"localhost:9092"``; the others are
            found through it.
        topic
            Name of the topic.
        topic_column
            In place of `topic`: the column with the name of each row's topic. It is not part of the value.
        key
            Column of the keys: String, Binary, or whole numbers, which are written as text. It stays in the value,
            unless `value` leaves it out.
        partition
            Column with the number of each row's partition, which is not part of the value. Where it is null, and
            without it, a key has the partition that Java's producer chooses (murmur2), and rows without a key go to
            the partitions in turn, up to 4,096 at a time.
        timestamp
            Column with the time of each record: Datetime (without a time zone it is UTC), or Int64 in ms since
            1970. It stays in the value. Where it is null, and without it, a record has the time of writing.
        headers
            Column of the headers, ``List(Struct({"key": String, "value": Binary}))``, which is not part of the value.
        tombstone
            Column of Boolean, which is not part of the value: where it is True, the record has no value, and a
            compacted topic forgets the key. With the format ``"raw"``, null is such a record, too.
        value
            Column, or columns, of the value; by default all but those that are said above not to be part of it.
        format
            Format of the values: ``"json"`` (an object for each row), ``"raw"`` (one column of Binary or String as it
            is), ``"csv"``, ``"arrow"`` (an IPC stream with all rows of a batch for one partition), ``"avro"`` or
            ``"protobuf"``.
        format_options
            Options of the format, such as a schema registry.
        compression
            Compression of record batches: ``"lz4"``, ``"zstd"``, ``"gzip"``, ``"snappy"``, or
            ``"none"`` (also None).
        compression_level
            Its level: 1 to 12 for lz4, 1 to 22 for zstd, 1 to 9 for gzip; by default the library's own.
        max_message_bytes
            Most bytes of a record batch before compression; a record that is larger alone is an error. Topics have a
            limit of their own, ``max.message.bytes``, by default 1,048,588.
        idempotent
            Whether servers recognise a request that is repeated after a lost connection, so that it writes its
            records once and in order. With checkpoints, also whether rows are written in transactions. False for
            servers that cannot do this.
        delivery_timeout
            Time without an answer of the servers after which records count as not delivered.
        security
            Encryption and login: a `KafkaSecurity`, or a table of its arguments.
        client_id
            Name of this client in the logs and quotas of the servers.

        Raises
        ------
        PlanError
            At once: an argument does not fit.
        SchemaError
            At `build()`: a column is missing or has a type that does not fit.
        SinkError
            While running: no server answers within 10 s, a topic does not exist (and the servers do not create it, as
            some do at the first message), a record is too large, a topic has
            no such partition, or the servers do not take records. With checkpoints: the servers have no
            transactions, or show rows of later epochs than the one that the run continues from.
        TakenOver
            While running with checkpoints: another run has started, with a copy of the checkpoint folder.
        MissingExtra
            At `build()`: aiokafka is not installed (extra: kafka).

        Notes
        -----
        Costs a connection to each server. Rows are encoded by columns into whole record batches, without an object
        for each record, and the sink holds the bytes of those that are on their way, up to 32 MiB. A batch of rows is
        written when all in-sync replicas have its records; while they do not, the source waits. Records
        of one partition keep the order of their rows. The first write connects.

        Without checkpoints at least once: records stay where a run fails later, and the next run writes them again.
        With checkpoints (``run(checkpoint=...)``) exactly once, for readers of committed transactions
        (``isolation.level=read_committed``, the default of `from_kafka`): each epoch is one transaction, which is
        committed once its checkpoint is complete. Until then the checkpoint folder also has a log of its records: a
        run that is killed in between is finished by the next one. This needs servers with transactions, Apache Kafka
        from 2.5 on, and less than 15 minutes for an epoch, which is as long as servers keep a transaction open by
        default. The transactional id is ``<owner>-<sink>``, as in ``orders-1f0c9a7e-sink``, and the number of the
        newest epoch is the offset that the group ``<owner>-<sink>-epoch`` has committed. The owner is the pipeline's
        name and a token, and is in the file ``owner`` of the checkpoint folder; a run ends with an error once another
        one has started with a copy of the folder. With ``idempotent=False`` rows since the last checkpoint come again
        after a kill.

        A handler of errors sees only rows that were not delivered: `ErrorHandler.retry` writes these again, and
        `ErrorHandler.skip` and `ErrorHandler.dead_letter` leave out the records that servers refuse, such as one
        without a key for a compacted topic, and not those next to them. After a `delivery_timeout`, records may
        have been written.

        With a format of many rows for a record, `key` only chooses the partition, a record has the time of its latest
        row, and `headers` and `tombstone` are refused.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Sink, Source
        >>> rows = pl.DataFrame({"id": ["a", "b"], "price": [1.5, 2.0]})
        >>> sink = Sink.to_kafka("localhost:9092", "prices", key="id")
        >>> print(Pipeline.builder().source(Source.from_frame(rows)).sink(sink).build().explain())
        pipeline pipeline
          source: frame
            -> id: String, price: Float64
          sink: kafka prices at localhost:9092 (json, lz4)
            guarantee: at least once: written when all in-sync replicas have it; repeated requests write once
          with checkpoints: exactly once
            kafka prices at localhost:9092 (json, lz4): an epoch is one transaction, for readers of committed ones
        """
        from arrowstream.io.kafka.sink_arguments import kafka_sink  # here, to keep importing arrowstream fast
        from arrowstream.io.messages.formats import encoder

        columns = {
            "topic_column": topic_column,
            "key": key,
            "partition": partition,
            "timestamp": timestamp,
            "headers": headers,
            "tombstone": tombstone,
        }
        return kafka_sink(
            servers,
            topic,
            columns=columns,
            value=value,
            encoder=encoder(format, format_options),
            compression=compression,
            compression_level=compression_level,
            max_message_bytes=max_message_bytes,
            idempotent=idempotent,
            delivery_timeout=delivery_timeout,
            security=security,
            client_id=client_id,
        )

    @staticmethod
    def to_tcp(
        address: str,
        *,
        format: TcpFormat = "ndjson",
        delimiter: str | None = None,
        token: str | None = None,
        tls: Tls | None = None,
        reconnect_for: Duration = 60.0,
        connect_timeout: Duration = 10.0,
        close_timeout: Duration = 60.0,
        max_message_bytes: int = 16 * 1024 * 1024,
    ) -> TcpSink:
        """Connect to an address, and send rows as messages.

        Parameters
        ----------
        address
            ``"host:port"`` of the server; without a host it is on this machine (127.0.0.1).
        format
            ``"ndjson"`` (or ``"json"``) or ``"csv"``: a line for each row, CSV without a header. ``"arrow"``: a
            frame for each batch, an Arrow IPC stream with its length before it, 4 bytes, the most significant
            first.
        delimiter
            Delimiter between the fields of CSV; by default a comma.
        token
            A secret that the server asks for, best as ``"env:NAME"`` or ``"file:PATH"``. It is sent with a newline
            as the first line of each connection; the server must answer ``ok`` and a newline, as `Source.from_tcp`
            does.
        tls
            `Tls` to encrypt: with `ca` to trust certificates that are not the machine's, with `certificate` and
            `key` if the server wants one.
        reconnect_for
            Time for which a server that cannot be reached, or closes connections, is tried again: after some 0.1
            s, then after waits that double, up to 5 s, each up to half shorter at random.
        connect_timeout
            Time for one attempt to connect, and for the answer to the token.
        close_timeout
            Time at the end until the server has read everything and closes its side, too.
        max_message_bytes
            Largest message, in bytes. Batches whose frame would be larger are sent as several; a single row that
            is larger is an error.

        Raises
        ------
        PlanError
            The address, the format or an option does not fit.
        SchemaError
            The format has no values of a column's type.
        SinkError
            While running: the server could not be reached for `reconnect_for`, its certificate is not trusted, the
            connection broke at the end, or a row is too long.

        Notes
        -----
        Costs no thread, except to encode batches of more than 256 rows. Holds one batch of bytes. A batch is sent
        when the system has taken all of it: a server that reads slowly holds up the pipeline.

        TCP does not say what a server has read. A batch whose connection breaks is sent again as a whole, so that
        its rows may come twice. Rows before it that the server had not read when its machine or process went away
        are lost, and the log has a warning each time. At the end, the sink waits until the server has closed the
        connection, after reading everything; a server that does not within `close_timeout` is a warning. The
        connection is made with the first batch: a stream without rows makes none.

        Examples
        --------
        >>> import asyncio
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Sink, Source
        >>> async def main():
        ...     address = asyncio.get_running_loop().create_future()
        ...     source = Source.from_tcp("127.0.0.1:0", schema={"x": int}, clients=1)
        ...     rows = Pipeline.builder().source(source.on_listening(address.set_result)).collect()
        ...     there = asyncio.create_task(rows)
        ...     numbers = Source.from_frame(pl.DataFrame({"x": [1, 2, 3]}))
        ...     sink = Sink.to_tcp(await address)
        ...     await Pipeline.builder().source(numbers).sink(sink).build().run()
        ...     return (await there)["x"].to_list()
        >>> asyncio.run(main())
        [1, 2, 3]
        """
        from arrowstream.io.messages.formats import encoder  # here, to keep importing arrowstream fast
        from arrowstream.io.tcp.address import Address
        from arrowstream.io.tcp.formats import csv_options, message_format
        from arrowstream.io.tcp.sink import TcpSink, TcpWaits

        place = Address.of("to_tcp", address)
        messages = encoder(message_format("to_tcp", format), csv_options("to_tcp", format, delimiter))
        waits = TcpWaits.of(reconnect_for, connect_timeout, close_timeout)
        return TcpSink(place, format, messages, token, tls, waits, max_message_bytes)

"""The queries as SQL for `Pipeline.sql`, over the tables `person`, `auction`, `bid` and `side_input`.

They are those of the suite for Flink, read as follows. Processing time is not the same in two runs, so q12 takes
event time for it. An auction lasts 20 s at most, which q4 and q9 say, so that bids that can no longer win leave the
memory. Where several rows come first, the earlier one does. q6 takes a mean over the last ten rows of a seller, which
needs rows in an order: SQL of pipelines has none, and `steps` has it in Python.
"""

from __future__ import annotations

_WINNING = """
    SELECT A.id, A.category, A.seller, A.expires, B.auction, B.bidder, B.price, B.date_time
    FROM auction A JOIN bid B ON A.id = B.auction
        AND B.date_time BETWEEN A.date_time AND A.date_time + INTERVAL '20' SECOND
    WHERE B.date_time <= A.expires"""

_HOT = "TABLE(HOP(TABLE bid, DESCRIPTOR(date_time), INTERVAL '2' SECOND, INTERVAL '10' SECOND))"

_RANKS = """
    count(*) FILTER (WHERE price < 10000) AS rank1_bids,
    count(*) FILTER (WHERE price >= 10000 AND price < 1000000) AS rank2_bids,
    count(*) FILTER (WHERE price >= 1000000) AS rank3_bids"""

_DISTINCT = """
    count(DISTINCT bidder) AS total_bidders,
    count(DISTINCT bidder) FILTER (WHERE price < 10000) AS rank1_bidders,
    count(DISTINCT bidder) FILTER (WHERE price >= 10000 AND price < 1000000) AS rank2_bidders,
    count(DISTINCT bidder) FILTER (WHERE price >= 1000000) AS rank3_bidders,
    count(DISTINCT auction) AS total_auctions,
    count(DISTINCT auction) FILTER (WHERE price < 10000) AS rank1_auctions,
    count(DISTINCT auction) FILTER (WHERE price >= 10000 AND price < 1000000) AS rank2_auctions,
    count(DISTINCT auction) FILTER (WHERE price >= 1000000) AS rank3_auctions"""

QUERIES: dict[str, str] = {
    "q0": "SELECT auction, bidder, price, date_time, extra FROM bid",
    "q1": "SELECT auction, bidder, 0.908 * price AS price, date_time, extra FROM bid",
    "q2": "SELECT auction, price FROM bid WHERE MOD(auction, 123) = 0",
    "q3": """
        SELECT P.name, P.city, P.state, A.id
        FROM auction AS A JOIN person AS P ON A.seller = P.id
        WHERE A.category = 10 AND (P.state = 'OR' OR P.state = 'ID' OR P.state = 'CA')""",
    "q4": f"""
        SELECT Q.category, AVG(Q.final) AS mean
        FROM (SELECT MAX(price) AS final, id, category FROM ({_WINNING}) W GROUP BY id, category) Q
        GROUP BY Q.category""",
    "q5": f"""
        SELECT AuctionBids.auction, AuctionBids.num
        FROM (
            SELECT auction, count(*) AS num, window_start AS starttime, window_end AS endtime
            FROM {_HOT} GROUP BY auction, window_start, window_end
        ) AS AuctionBids
        JOIN (
            SELECT max(CountBids.num) AS maxn, CountBids.starttime, CountBids.endtime
            FROM (
                SELECT count(*) AS num, window_start AS starttime, window_end AS endtime
                FROM {_HOT} GROUP BY auction, window_start, window_end
            ) AS CountBids
            GROUP BY CountBids.starttime, CountBids.endtime
        ) AS MaxBids
        ON AuctionBids.starttime = MaxBids.starttime AND AuctionBids.endtime = MaxBids.endtime
            AND AuctionBids.num >= MaxBids.maxn""",
    "q7": """
        SELECT B.auction, B.price, B.bidder, B.date_time, B.extra
        FROM bid B JOIN (
            SELECT MAX(price) AS maxprice, window_end AS date_time
            FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(date_time), INTERVAL '10' SECOND))
            GROUP BY window_start, window_end
        ) B1 ON B.price = B1.maxprice
        WHERE B.date_time >= B1.date_time - INTERVAL '10' SECOND AND B.date_time < B1.date_time""",
    "q8": """
        SELECT P.id, P.name, P.starttime
        FROM (
            SELECT id, name, window_start AS starttime, window_end AS endtime
            FROM TABLE(TUMBLE(TABLE person, DESCRIPTOR(date_time), INTERVAL '10' SECOND))
            GROUP BY id, name, window_start, window_end
        ) P
        JOIN (
            SELECT seller, window_start AS starttime, window_end AS endtime
            FROM TABLE(TUMBLE(TABLE auction, DESCRIPTOR(date_time), INTERVAL '10' SECOND))
            GROUP BY seller, window_start, window_end
        ) A ON P.id = A.seller AND P.starttime = A.starttime AND P.endtime = A.endtime""",
    "q9": f"""
        SELECT id, bidder, price, date_time
        FROM (
            SELECT *, ROW_NUMBER() OVER (PARTITION BY id ORDER BY price DESC, date_time ASC) AS rownum
            FROM ({_WINNING}) W
        )
        WHERE rownum <= 1""",
    "q10": """
        SELECT auction, bidder, price, date_time, extra,
            DATE_FORMAT(date_time, 'yyyy-MM-dd') AS dt, DATE_FORMAT(date_time, 'HH:mm') AS hm
        FROM bid""",
    "q11": """
        SELECT B.bidder, count(*) AS bid_count,
            SESSION_START(B.date_time, INTERVAL '10' SECOND) AS starttime,
            SESSION_END(B.date_time, INTERVAL '10' SECOND) AS endtime
        FROM bid B GROUP BY B.bidder, SESSION(B.date_time, INTERVAL '10' SECOND)""",
    "q12": """
        SELECT bidder, count(*) AS bid_count, window_start AS starttime, window_end AS endtime
        FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(date_time), INTERVAL '10' SECOND))
        GROUP BY bidder, window_start, window_end""",
    "q13": """
        SELECT B.auction, B.bidder, B.price, B.date_time, S.value
        FROM bid B JOIN side_input S ON MOD(B.auction, 10000) = S.key""",
    "q14": """
        SELECT auction, bidder, 0.908 * price AS price,
            CASE
                WHEN HOUR(date_time) >= 8 AND HOUR(date_time) <= 18 THEN 'dayTime'
                WHEN HOUR(date_time) <= 6 OR HOUR(date_time) >= 20 THEN 'nightTime'
                ELSE 'otherTime'
            END AS bid_time_type,
            date_time, extra, COUNT_CHAR(extra, 'c') AS c_counts
        FROM bid WHERE 0.908 * price > 1000000 AND 0.908 * price < 50000000""",
    "q15": f"""
        SELECT DATE_FORMAT(date_time, 'yyyy-MM-dd') AS day, count(*) AS total_bids, {_RANKS}, {_DISTINCT}
        FROM bid GROUP BY DATE_FORMAT(date_time, 'yyyy-MM-dd')""",
    "q16": f"""
        SELECT channel, DATE_FORMAT(date_time, 'yyyy-MM-dd') AS day,
            max(DATE_FORMAT(date_time, 'HH:mm')) AS minute, count(*) AS total_bids, {_RANKS}, {_DISTINCT}
        FROM bid GROUP BY channel, DATE_FORMAT(date_time, 'yyyy-MM-dd')""",
    "q17": f"""
        SELECT auction, DATE_FORMAT(date_time, 'yyyy-MM-dd') AS day, count(*) AS total_bids, {_RANKS},
            min(price) AS min_price, max(price) AS max_price, avg(price) AS avg_price, sum(price) AS sum_price
        FROM bid GROUP BY auction, DATE_FORMAT(date_time, 'yyyy-MM-dd')""",
    "q18": """
        SELECT auction, bidder, price, channel, url, date_time, extra
        FROM (
            SELECT *, ROW_NUMBER() OVER (PARTITION BY bidder, auction ORDER BY date_time DESC) AS rank_number
            FROM bid
        )
        WHERE rank_number <= 1""",
    "q19": """
        SELECT auction, bidder, price, channel, date_time
        FROM (
            SELECT *, ROW_NUMBER() OVER (PARTITION BY auction ORDER BY price DESC, date_time ASC) AS rank_number
            FROM bid
        )
        WHERE rank_number <= 10""",
    "q20": """
        SELECT B.auction, B.bidder, B.price, B.channel, B.url, B.date_time AS bid_time,
            A.item_name, A.description, A.initial_bid, A.reserve, A.date_time AS auction_time, A.expires,
            A.seller, A.category
        FROM bid AS B JOIN auction AS A ON B.auction = A.id
        WHERE A.category = 10""",
    "q21": """
        SELECT auction, bidder, price, channel,
            CASE
                WHEN lower(channel) = 'apple' THEN '0'
                WHEN lower(channel) = 'google' THEN '1'
                WHEN lower(channel) = 'facebook' THEN '2'
                WHEN lower(channel) = 'baidu' THEN '3'
                ELSE REGEXP_EXTRACT(url, '(&|^)channel_id=([^&]*)', 2)
            END AS channel_id
        FROM bid
        WHERE REGEXP_EXTRACT(url, '(&|^)channel_id=([^&]*)', 2) <> ''
            OR lower(channel) IN ('apple', 'google', 'facebook', 'baidu')""",
    "q22": """
        SELECT auction, bidder, price, channel,
            SPLIT_INDEX(url, '/', 3) AS dir1, SPLIT_INDEX(url, '/', 4) AS dir2, SPLIT_INDEX(url, '/', 5) AS dir3
        FROM bid""",
}
"""The queries by name."""

"""
What is in the database of a ledger.

Whatever grows with the number of messages is appended: rows are numbered in the order of their coming, so what comes
together and goes together lies together.  The two keys by which things are looked up, the token of an entry and the id
of an event, are an index each that holds nothing else.  Tokens, and the ids of injections, which are most events, begin
with the time; a key in no order is a page of its own that is written for it, and written again into the database.

What is short and scanned (event) lies apart from what is long and fetched by its row (payload).  A delivery says in
which batch an event is for a target; 0 is none.  How it stands is said once, in the row of its batch.

How many there are is asked often, and counting reads every row.  So whoever changes something changes the numbers in
`tally`, `target` and `batch` with it; triggers would as well, and cost more than all the rest.  A row of `entry` is
removed only when all before it are, so the first and the last tell how many there are.

The number of a notice or an event is never given again (AUTOINCREMENT), because somebody may be at work on it between
two transactions.
"""

from smtpbridge.store.database import Kind
from smtpbridge.store.ledger import Standing

# How `batch.standing` is written; WAITING is an event without a batch.
SENDING, DELIVERED, DEAD = 1, 2, 3
STANDINGS = {SENDING: Standing.SENDING, DELIVERED: Standing.DELIVERED, DEAD: Standing.DEAD}

_V1 = (
    "CREATE TABLE entry (row INTEGER PRIMARY KEY, token BLOB NOT NULL UNIQUE, at REAL NOT NULL, common BLOB NOT NULL)",
    """
    CREATE TABLE copy (
        entry INTEGER NOT NULL, recipient TEXT NOT NULL, own BLOB NOT NULL, PRIMARY KEY (entry, recipient)
    ) WITHOUT ROWID
    """,
    "CREATE TABLE notice (row INTEGER PRIMARY KEY AUTOINCREMENT, received_at REAL NOT NULL, octets BLOB NOT NULL)",
    "CREATE TABLE tally (notices INTEGER NOT NULL, events INTEGER NOT NULL)",
    "INSERT INTO tally VALUES (0, 0)",
    "CREATE TABLE target (row INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, waiting INTEGER NOT NULL DEFAULT 0)",
    """
    CREATE TABLE event (
        row INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        type TEXT NOT NULL,
        at REAL NOT NULL,
        recipient TEXT NOT NULL,
        subaccount TEXT NOT NULL
    )
    """,
    "CREATE INDEX event_by_time ON event (at)",
    "CREATE TABLE payload (event INTEGER PRIMARY KEY, octets BLOB NOT NULL)",
    """
    CREATE TABLE delivery (
        event INTEGER NOT NULL, target INTEGER NOT NULL, batch INTEGER NOT NULL, PRIMARY KEY (event, target)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX delivery_waiting ON delivery (target, event) WHERE batch = 0",
    "CREATE INDEX delivery_by_batch ON delivery (batch) WHERE batch > 0",
    """
    CREATE TABLE batch (
        row INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        target INTEGER NOT NULL,
        standing INTEGER NOT NULL,
        created_at REAL NOT NULL,
        events INTEGER NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        next_attempt REAL NOT NULL,
        answer TEXT NOT NULL DEFAULT ''
    )
    """,
    f"CREATE INDEX batch_open ON batch (target, next_attempt) WHERE standing = {SENDING}",
    f"CREATE INDEX batch_dead ON batch (target) WHERE standing = {DEAD}",
)

LEDGER = Kind("ledger.db", "ledger.lock", (_V1,))

"""The tables, and how an older index becomes a current one.

The format number is SQLite's `user_version`. To change the tables: append the statements that
turn format N into N + 1 to `MIGRATIONS`; never edit an entry that was released. What the audit log
tells of (`audit.py`) must stay as it is, or the log would say that somebody tampered with it.

::

    runs ──< step_runs ──< step_outputs >── versions ──< tags
                 │                             │
             key_parts                    bundle_blobs (which blobs a bundle is made of)
                 │                             │
             results ──< result_outputs >──────┘          series (the last number given out)
"""

from __future__ import annotations

from typing import Final

APPLICATION_ID: Final = 0x6E627031  # "nbp1": tells our file from other SQLite files.

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        "CREATE TABLE store (id TEXT NOT NULL) STRICT",
        """CREATE TABLE runs (
            id TEXT PRIMARY KEY,
            pipeline TEXT NOT NULL,
            state TEXT NOT NULL,
            parameters TEXT NOT NULL,
            started TEXT NOT NULL,
            finished TEXT,
            source TEXT,
            notebook TEXT NOT NULL,
            executed_notebook TEXT NOT NULL
        ) STRICT""",
        "CREATE INDEX runs_by_pipeline ON runs (pipeline, started)",
        "CREATE TABLE key_parts (key TEXT PRIMARY KEY, parts TEXT NOT NULL) STRICT, WITHOUT ROWID",
        """CREATE TABLE step_runs (
            id INTEGER PRIMARY KEY,
            run TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
            step TEXT NOT NULL,
            state TEXT NOT NULL,
            key TEXT REFERENCES key_parts,
            attempt INTEGER NOT NULL,
            started TEXT,
            seconds REAL NOT NULL,
            reason TEXT NOT NULL,
            unbound TEXT NOT NULL,
            failure TEXT,
            cells TEXT,
            executed_notebook TEXT NOT NULL,
            notes TEXT NOT NULL,
            UNIQUE (run, step)
        ) STRICT""",
        "CREATE INDEX step_runs_by_step ON step_runs (step)",
        "CREATE INDEX step_runs_by_key ON step_runs (key)",
        """CREATE TABLE series (
            pipeline TEXT NOT NULL,
            variable TEXT NOT NULL,
            last_number INTEGER NOT NULL,
            PRIMARY KEY (pipeline, variable)
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE versions (
            id INTEGER PRIMARY KEY,
            pipeline TEXT NOT NULL,
            variable TEXT NOT NULL,
            number INTEGER NOT NULL,
            step TEXT NOT NULL,
            run TEXT NOT NULL,
            created TEXT NOT NULL,
            bundle TEXT NOT NULL,
            member TEXT NOT NULL,
            content TEXT NOT NULL,
            format TEXT NOT NULL,
            revision INTEGER NOT NULL,
            size INTEGER NOT NULL,
            summary TEXT NOT NULL,
            definitions TEXT NOT NULL,
            UNIQUE (pipeline, variable, number)
        ) STRICT""",
        "CREATE INDEX versions_by_bundle ON versions (bundle)",
        "CREATE INDEX versions_by_run ON versions (run)",
        """CREATE TABLE bundle_blobs (
            bundle TEXT NOT NULL,
            blob TEXT NOT NULL,
            size INTEGER NOT NULL,
            PRIMARY KEY (bundle, blob)
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE tags (
            version INTEGER NOT NULL REFERENCES versions ON DELETE CASCADE,
            name TEXT NOT NULL,
            PRIMARY KEY (version, name)
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE step_outputs (
            step_run INTEGER NOT NULL REFERENCES step_runs ON DELETE CASCADE,
            variable TEXT NOT NULL,
            version INTEGER NOT NULL REFERENCES versions ON DELETE CASCADE,
            PRIMARY KEY (step_run, variable)
        ) STRICT, WITHOUT ROWID""",
        "CREATE INDEX step_outputs_by_version ON step_outputs (version)",
        """CREATE TABLE step_keys (
            key TEXT PRIMARY KEY REFERENCES key_parts,
            pipeline TEXT NOT NULL,
            step TEXT NOT NULL,
            run TEXT NOT NULL,
            created TEXT NOT NULL,
            used TEXT NOT NULL,
            seconds REAL NOT NULL,
            unbound TEXT NOT NULL,
            cells TEXT,
            executed_notebook TEXT NOT NULL
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE key_outputs (
            key TEXT NOT NULL REFERENCES step_keys ON DELETE CASCADE,
            variable TEXT NOT NULL,
            version INTEGER NOT NULL REFERENCES versions,
            PRIMARY KEY (key, variable)
        ) STRICT, WITHOUT ROWID""",
        "CREATE INDEX key_outputs_by_version ON key_outputs (version)",
    ),
    (
        # Results from before cannot say what their steps changed unseen, so nobody may reuse them.
        "DELETE FROM step_keys",
        "ALTER TABLE step_keys ADD COLUMN changed TEXT NOT NULL DEFAULT '[]'",
    ),
    (
        # Results from before cannot say which files their steps read, so nobody may reuse them.
        "DROP TABLE key_outputs",
        "DROP TABLE step_keys",
        """CREATE TABLE results (
            id INTEGER PRIMARY KEY,
            key TEXT NOT NULL REFERENCES key_parts,
            observed TEXT NOT NULL,
            observed_parts TEXT NOT NULL,
            pipeline TEXT NOT NULL,
            step TEXT NOT NULL,
            run TEXT NOT NULL,
            created TEXT NOT NULL,
            used TEXT NOT NULL,
            seconds REAL NOT NULL,
            unbound TEXT NOT NULL,
            changed TEXT NOT NULL,
            cells TEXT,
            executed_notebook TEXT NOT NULL,
            UNIQUE (key, observed)
        ) STRICT""",
        """CREATE TABLE result_outputs (
            result INTEGER NOT NULL REFERENCES results ON DELETE CASCADE,
            variable TEXT NOT NULL,
            version INTEGER NOT NULL REFERENCES versions,
            PRIMARY KEY (result, variable)
        ) STRICT, WITHOUT ROWID""",
        "CREATE INDEX result_outputs_by_version ON result_outputs (version)",
    ),
    (
        # Lineage: which cells a step had in that run.
        "ALTER TABLE step_runs ADD COLUMN cell_numbers TEXT NOT NULL DEFAULT '[]'",
        # And what it was seen to depend on besides its key.
        "ALTER TABLE step_runs ADD COLUMN observed TEXT NOT NULL DEFAULT '{}'",
        # The audit log: see `audit.py`. AUTOINCREMENT remembers the last number ever given out.
        """CREATE TABLE audit_log (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            time TEXT NOT NULL,
            who TEXT NOT NULL,
            event TEXT NOT NULL,
            facts TEXT NOT NULL,
            previous TEXT NOT NULL,
            digest TEXT NOT NULL
        ) STRICT""",
        """CREATE TRIGGER audit_log_is_not_changed BEFORE UPDATE ON audit_log
           BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END""",
        """CREATE TRIGGER audit_log_is_not_shortened BEFORE DELETE ON audit_log
           BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END""",
    ),
)

FORMAT: Final = len(MIGRATIONS)
AUDITED_FROM: Final = 4  # The format that brought the audit log.

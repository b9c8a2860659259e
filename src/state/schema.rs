//! The tables of `state.db`, version by version.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::errors::opening;
use crate::error::{Error, Kind, Result};

/// Marks the file as ours ("ENVS").
pub(super) const APPLICATION: i32 = 0x454e_5653;

/// What each version adds to the one before; never changed once released. The database's `user_version` counts them.
pub(super) const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE runs (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        job TEXT NOT NULL,
        file BLOB NOT NULL,
        verb TEXT NOT NULL,
        from_environment TEXT NOT NULL,
        to_environment TEXT NOT NULL,
        trigger TEXT NOT NULL,
        by TEXT NOT NULL,
        host TEXT NOT NULL,
        pid INTEGER,
        process_started INTEGER,
        boot TEXT,
        timeout_ms INTEGER,
        state TEXT NOT NULL,
        step TEXT NOT NULL DEFAULT '',
        started_at INTEGER NOT NULL,
        finished_at INTEGER,
        message TEXT NOT NULL DEFAULT '',
        errors INTEGER NOT NULL DEFAULT 0,
        warnings INTEGER NOT NULL DEFAULT 0,
        exit_code INTEGER
    );
    CREATE INDEX runs_of_job ON runs (job, seq);
    CREATE INDEX runs_of_job_by_end ON runs (job, verb, state, seq);
    CREATE INDEX runs_unfinished ON runs (seq) WHERE finished_at IS NULL;
    CREATE TABLE tasks (
        run INTEGER NOT NULL REFERENCES runs (seq) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        name TEXT NOT NULL,
        kind TEXT NOT NULL,
        state TEXT NOT NULL,
        progress_percent REAL NOT NULL DEFAULT 0,
        rows INTEGER NOT NULL DEFAULT 0,
        bytes INTEGER NOT NULL DEFAULT 0,
        duration_seconds REAL NOT NULL DEFAULT 0,
        message TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (run, position),
        UNIQUE (run, name)
    ) WITHOUT ROWID;
    CREATE TABLE logs (
        run INTEGER NOT NULL REFERENCES runs (seq) ON DELETE CASCADE,
        seq INTEGER NOT NULL,
        at INTEGER NOT NULL,
        level TEXT NOT NULL,
        task TEXT NOT NULL,
        message TEXT NOT NULL,
        PRIMARY KEY (run, seq)
    ) WITHOUT ROWID;
    CREATE TABLE holds (
        environment TEXT PRIMARY KEY,
        reason TEXT NOT NULL,
        by TEXT NOT NULL,
        host TEXT NOT NULL,
        since INTEGER NOT NULL,
        pid INTEGER,
        process_started INTEGER,
        boot TEXT
    ) WITHOUT ROWID;
",
    "
    -- Who ended a run, or asked for it.
    ALTER TABLE runs ADD COLUMN cancelled_by TEXT;
    -- What the daemon knows of each job: by its file's name, without what the file says.
    CREATE TABLE jobs (
        job TEXT PRIMARY KEY,
        timetable TEXT NOT NULL,
        handled_until INTEGER NOT NULL,
        next_run_at INTEGER,
        problem TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE pauses (
        job TEXT PRIMARY KEY,
        reason TEXT NOT NULL,
        by TEXT NOT NULL,
        since INTEGER NOT NULL,
        until INTEGER
    ) WITHOUT ROWID;
    CREATE TABLE daemon (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        version TEXT NOT NULL,
        host TEXT NOT NULL,
        pid INTEGER,
        process_started INTEGER,
        boot TEXT,
        since INTEGER NOT NULL,
        seen_at INTEGER NOT NULL,
        problem TEXT NOT NULL
    );
", "
    CREATE TABLE totals (
        job TEXT NOT NULL,
        verb TEXT NOT NULL,
        state TEXT NOT NULL,
        runs INTEGER NOT NULL,
        micros INTEGER NOT NULL,
        rows INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        PRIMARY KEY (job, verb, state)
    ) WITHOUT ROWID;
    INSERT INTO totals (job, verb, state, runs, micros, rows, bytes)
        SELECT job, verb, state, count(*), sum(max(0, finished_at - started_at)),
               sum((SELECT coalesce(sum(rows), 0) FROM tasks WHERE run = runs.seq)),
               sum((SELECT coalesce(sum(bytes), 0) FROM tasks WHERE run = runs.seq))
        FROM runs WHERE finished_at IS NOT NULL GROUP BY job, verb, state;
    -- What is written by all who end a run, and by nobody twice, is not left to those who end runs.
    CREATE TRIGGER runs_end AFTER UPDATE OF finished_at ON runs
    WHEN OLD.finished_at IS NULL AND NEW.finished_at IS NOT NULL BEGIN
        INSERT INTO totals (job, verb, state, runs, micros, rows, bytes)
        VALUES (NEW.job, NEW.verb, NEW.state, 1, max(0, NEW.finished_at - NEW.started_at),
                (SELECT coalesce(sum(rows), 0) FROM tasks WHERE run = NEW.seq),
                (SELECT coalesce(sum(bytes), 0) FROM tasks WHERE run = NEW.seq))
        ON CONFLICT (job, verb, state) DO UPDATE SET runs = runs + excluded.runs,
            micros = micros + excluded.micros, rows = rows + excluded.rows, bytes = bytes + excluded.bytes;
    END;
    CREATE TRIGGER runs_begin_ended AFTER INSERT ON runs WHEN NEW.finished_at IS NOT NULL BEGIN
        INSERT INTO totals (job, verb, state, runs, micros, rows, bytes)
        VALUES (NEW.job, NEW.verb, NEW.state, 1, max(0, NEW.finished_at - NEW.started_at), 0, 0)
        ON CONFLICT (job, verb, state) DO UPDATE SET runs = runs + excluded.runs,
            micros = micros + excluded.micros;
    END;
    -- A job that is skipped for days must not make its last run hard to find.
    CREATE INDEX runs_of_job_begun ON runs (job, seq) WHERE state != 'skipped';
",
    "
    -- The point in time that a task's copy is of.
    ALTER TABLE tasks ADD COLUMN surveyed_at INTEGER;
    ",
    "
    -- What a process id means something for, and when its process last gave a sign of life.
    ALTER TABLE runs ADD COLUMN machine TEXT;
    ALTER TABLE runs ADD COLUMN pid_namespace INTEGER;
    ALTER TABLE runs ADD COLUMN beat_at INTEGER;
    ALTER TABLE holds ADD COLUMN machine TEXT;
    ALTER TABLE holds ADD COLUMN pid_namespace INTEGER;
    ALTER TABLE holds ADD COLUMN beat_at INTEGER;
    ALTER TABLE daemon ADD COLUMN machine TEXT;
    ALTER TABLE daemon ADD COLUMN pid_namespace INTEGER;
    ",
    "
    -- The tasks of a run that is of a part of its job, with commas between; NULL: of the whole job.
    ALTER TABLE runs ADD COLUMN only_tasks TEXT;
    ",
    "
    -- The fingerprint of the masks' key that a job's last published run had.
    CREATE TABLE mask_keys (
        job TEXT PRIMARY KEY,
        fingerprint TEXT NOT NULL
    ) WITHOUT ROWID;
    ",
    "
    -- What was masked in a task's rows, as JSON; NULL: nothing.
    ALTER TABLE tasks ADD COLUMN masked TEXT;
    ",
    "
    -- Who may use the API, the sessions of browsers, and links that log in once: by the hashes of their secrets.
    CREATE TABLE tokens (
        hash BLOB PRIMARY KEY,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        scope TEXT NOT NULL,
        -- As JSON; NULL: every one.
        environments TEXT,
        site TEXT,
        by TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        expires_at INTEGER,
        last_used_at INTEGER
    ) WITHOUT ROWID;
    CREATE INDEX tokens_by_name ON tokens (name, kind);
    -- What people and programs had done.
    CREATE TABLE audit (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        who TEXT NOT NULL,
        via TEXT NOT NULL,
        address TEXT NOT NULL,
        action TEXT NOT NULL,
        object TEXT NOT NULL,
        outcome TEXT NOT NULL
    );
    CREATE INDEX audit_by_time ON audit (at);
    -- What a request that bore a key was answered with, for when it is sent again.
    CREATE TABLE answers (
        who TEXT NOT NULL,
        key TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        answer TEXT NOT NULL,
        at INTEGER NOT NULL,
        PRIMARY KEY (who, key)
    ) WITHOUT ROWID;
    CREATE INDEX answers_by_time ON answers (at);
    -- Pauses of more than one job. Those of one stay where runs of an older version look for them.
    CREATE TABLE wide_pauses (
        -- Empty: of everything.
        environment TEXT PRIMARY KEY,
        reason TEXT NOT NULL,
        by TEXT NOT NULL,
        since INTEGER NOT NULL,
        until INTEGER
    ) WITHOUT ROWID;
    ",
    "
    -- When a task came to each of its steps, and how long each took, as JSON; NULL: it is not known.
    ALTER TABLE tasks ADD COLUMN steps TEXT;
    -- What was copied of the biggest tables of a task, as JSON.
    CREATE TABLE task_tables (
        run INTEGER NOT NULL REFERENCES runs (seq) ON DELETE CASCADE,
        task TEXT NOT NULL,
        tables TEXT NOT NULL,
        PRIMARY KEY (run, task)
    ) WITHOUT ROWID;
    ",
];

/// The version that this program writes.
pub(super) const VERSION: u32 = MIGRATIONS.len() as u32;

pub(super) fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

pub(super) fn known(version: u32, file: &Path) -> Result<()> {
    if version <= VERSION {
        return Ok(());
    }
    Err(Error::new(
        Kind::State,
        format!(
            "{} was written by a newer envsyncd (version {version}; this one knows up to {})",
            file.display(),
            VERSION
        ),
    )
    .hint("install the newer envsyncd, or set state_dir to another directory"))
}

pub(super) fn migrate(connection: &mut Connection, file: &Path) -> Result<()> {
    let found = version(connection).map_err(|e| opening(file, e))?;
    if found == VERSION {
        return Ok(());
    }
    known(found, file)?;
    let changed = |connection: &mut Connection| -> rusqlite::Result<bool> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another process may have been first.
        let found = version(&transaction)?;
        let foreign: bool = transaction.query_row(
            "SELECT ?1 = 0 AND EXISTS (SELECT 1 FROM sqlite_schema)",
            [found],
            |row| row.get(0),
        )?;
        if foreign {
            return Ok(false);
        }
        for migration in MIGRATIONS.iter().skip(found as usize) {
            transaction.execute_batch(migration)?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", found.max(VERSION))?;
        transaction.commit()?;
        Ok(true)
    };
    if changed(connection).map_err(|e| opening(file, e))? {
        return Ok(());
    }
    Err(Error::new(
        Kind::State,
        format!(
            "{} is a SQLite database, and not one of envsyncd's",
            file.display()
        ),
    )
    .hint("set state_dir (or ENVSYNCD_STATE_DIR) to a directory of envsyncd's own"))
}

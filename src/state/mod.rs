//! The state store: history, progress, logs and holds, in SQLite under `state_dir`.

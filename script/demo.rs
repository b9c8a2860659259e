//! Makes a production and a staging database and a job between them, to try envsyncd on with nothing installed: `demo
//! [DIRECTORY]` (default: `demo`), which `script/demo` builds and calls. What an earlier call made there is made anew.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

const SETTINGS: &str = "\
# Where envsyncd keeps what it knows. Relative paths start at this file.
state_dir  = \"state\"
status_dir = \"state/status\"
lock_dir   = \"state/lock\"
";

const JOB: &str = "\
description = \"Refresh staging's shop from production\"
from = \"production\"
to   = \"staging\"

[[task]]
kind    = \"sqlite\"
source  = \"sqlite:production.db\"
target  = \"sqlite:staging.db\"
scripts = [\"anonymise.sql\"]      # run before anyone sees the rows
keep    = [\"webhooks\"]           # staging's own rows survive
verify  = \"checksum\"

[environments.production]        # no parent: never a target
[environments.staging]
parent = \"production\"
";

const ANONYMISE: &str = "\
-- Nobody on staging needs to know who the customers are.
UPDATE customers SET email = 'customer' || id || '@example.org', name = 'Customer ' || id;
";

const TABLES: &str = "
    CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL UNIQUE, joined TEXT NOT NULL);
    CREATE TABLE articles (id INTEGER PRIMARY KEY, title TEXT NOT NULL, pence INTEGER NOT NULL CHECK (pence > 0));
    CREATE TABLE orders (
        id INTEGER PRIMARY KEY,
        customer INTEGER NOT NULL REFERENCES customers,
        article INTEGER NOT NULL REFERENCES articles,
        pieces INTEGER NOT NULL,
        ordered TEXT NOT NULL
    );
    CREATE INDEX orders_customer ON orders (customer);
    CREATE VIEW turnover AS
        SELECT substr(ordered, 1, 7) AS month, sum(pieces * pence) AS pence
        FROM orders JOIN articles ON articles.id = orders.article GROUP BY 1;
    CREATE TABLE webhooks (id INTEGER PRIMARY KEY, url TEXT NOT NULL);
";

fn main() -> Result<(), Box<dyn Error>> {
    let directory = PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| "demo".into()));
    fs::create_dir_all(&directory)?;
    // Only what we make ourselves is removed.
    for name in ["production.db", "staging.db"] {
        for companion in ["", "-wal", "-shm", "-journal"] {
            match fs::remove_file(directory.join(format!("{name}{companion}"))) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error.into());
                }
                _ => {}
            }
        }
    }
    shop(
        &directory.join("production.db"),
        5_000,
        20_000,
        "https://shop.example/hook",
    )?;
    shop(
        &directory.join("staging.db"),
        40,
        100,
        "https://staging.shop.example/hook",
    )?;
    for (name, content) in [
        ("envsyncd.toml", SETTINGS),
        ("app.toml", JOB),
        ("anonymise.sql", ANONYMISE),
    ] {
        fs::write(directory.join(name), content)?;
    }
    let place = directory.display();
    println!(
        "Made {place}/production.db (5000 customers, 20000 orders) and {place}/staging.db (40 and 100). Now:"
    );
    println!("  envsyncd --config {place}/envsyncd.toml --once -f {place}/app.toml");
    println!("  envsyncd --config {place}/envsyncd.toml status");
    Ok(())
}

fn shop(file: &Path, customers: u32, orders: u32, webhook: &str) -> rusqlite::Result<()> {
    let mut connection = Connection::open(file)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(TABLES)?;
    transaction.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
         INSERT INTO customers SELECT i, 'Person No. ' || i, 'person.' || i || '@mail.example', date('2020-01-01', '+' || (i % 1500) || ' days') FROM n",
        [customers],
    )?;
    transaction.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
         INSERT INTO articles SELECT i, 'Article ' || i, 99 + i * 7 FROM n",
        [],
    )?;
    transaction.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
         INSERT INTO orders SELECT i, 1 + i * 31 % ?2, 1 + i * 17 % 300, 1 + i % 4, date('2024-01-01', '+' || (i % 700) || ' days') FROM n",
        [orders, customers],
    )?;
    transaction.execute("INSERT INTO webhooks (url) VALUES (?1)", [webhook])?;
    transaction.commit()
}

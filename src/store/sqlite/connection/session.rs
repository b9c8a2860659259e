//! Sessions: connections whose work runs on threads of its own, and is interrupted when the run is cancelled.

use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use rusqlite::{Connection, InterruptHandle};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Kind, Result, io};
use crate::sync::Mutex;

/// How often a cancelled piece of work is interrupted until it notices.
const NUDGE: Duration = Duration::from_millis(20);

/// A thread's stack; only what is used of it takes memory.
const STACK: usize = 48 << 20;

/// Locks a mutex; what it guards stays usable after a panic elsewhere, since SQLite rolls back by itself.
pub(in crate::store::sqlite) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

/// Runs blocking work on a thread. `cancel` is cancelled for the work when the run's is, and when our caller loses interest.
pub(in crate::store::sqlite) async fn blocking<T, F>(
    cancel: &CancellationToken,
    work: F,
) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce(&CancellationToken) -> Result<T> + Send + 'static,
{
    let stop = cancel.child_token();
    let _stops_when_dropped = stop.clone().drop_guard();
    joined(thread(move || work(&stop))?.await)
}

/// Runs something on a thread that has room for a definition of [`LONGEST_DEFINITION`]: SQLite reads it with a recursion for each
/// query in a query (some 300 bytes for 14 of text), and where the stack ends the process does.
pub(in crate::store::sqlite) fn thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<oneshot::Receiver<T>> {
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new()
        .name("sqlite".to_owned())
        .stack_size(STACK)
        .spawn(move || {
            let _ = sender.send(work());
        })
        .map_err(io("cannot start a thread"))?;
    Ok(receiver)
}

fn joined<T>(done: std::result::Result<Result<T>, oneshot::error::RecvError>) -> Result<T> {
    done.unwrap_or_else(
        |lost| Err(Error::new(Kind::Internal, "a worker thread died").because(lost)),
    )
}

/// The error of a run that was told to stop.
pub(in crate::store::sqlite) fn stopped(stop: &CancellationToken) -> Result<()> {
    if stop.is_cancelled() {
        return Err(Error::new(Kind::Cancelled(15), "cancelled"));
    }
    Ok(())
}

/// One connection, shared by tasks; its work happens on blocking threads.
#[derive(Clone)]
pub(in crate::store::sqlite) struct Session {
    connection: Arc<Mutex<Connection>>,
    interrupt: Arc<InterruptHandle>,
    cancel: CancellationToken,
}

impl Session {
    pub(in crate::store::sqlite) fn new(
        connection: Connection,
        cancel: &CancellationToken,
    ) -> Self {
        Self {
            interrupt: Arc::new(connection.get_interrupt_handle()),
            connection: Arc::new(Mutex::new(connection)),
            cancel: cancel.clone(),
        }
    }

    /// Runs work with the connection. When the run is cancelled, the statement that is running is interrupted.
    pub(in crate::store::sqlite) async fn run<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection, &CancellationToken) -> Result<T> + Send + 'static,
    {
        let stop = self.cancel.child_token();
        let _stops_when_dropped = stop.clone().drop_guard();
        let connection = Arc::clone(&self.connection);
        let inside = stop.clone();
        let mut job = thread(move || {
            let mut connection = locked(&connection);
            stopped(&inside)?;
            work(&mut connection, &inside)
        })?;
        loop {
            tokio::select! {
                done = &mut job => return joined(done),
                () = async {
                    stop.cancelled().await;
                    tokio::time::sleep(NUDGE).await;
                } => self.interrupt.interrupt(),
            }
        }
    }

    /// The connection itself, for work that is on a blocking thread already.
    pub(in crate::store::sqlite) fn lock(&self) -> MutexGuard<'_, Connection> {
        locked(&self.connection)
    }
}

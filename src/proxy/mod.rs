//! Missing files on demand: a directory's files to whoever asks, and what is missing from production.
//!
//! It is no part of a run and touches nothing that a run copies: all that it writes are files that nobody has written, and it
//! never replaces one. It has threads of its own: whatever its clients do, the daemon's clock goes on.
//!
//! | module | what it is |
//! | --- | --- |
//! | `name` | a file's name, out of a request's path |
//! | `rules` | which names are served, and which are fetched |
//! | `media` | what the ending of a name promises |
//! | `styles` | the originals of Drupal's image styles |
//! | `conditions` | ranges, ETags and times |
//! | `tree` | the directory |
//! | `disk` | how much of the disk fetched files take |
//! | `absent` | names that the origin has not |
//! | `pace` | how often the origin is asked |
//! | `origin` | how it is asked, and what of its answers is believed |
//! | `flights` | one fetch for a file |
//! | `fetch` | a fetch |
//! | `sending`, `reply` | answers |
//! | `site` | from a request to an answer |
//! | `seats` | connections of all listeners |
//! | `listen` | sockets |

mod absent;
mod conditions;
mod disk;
mod fetch;
mod flights;
#[cfg(test)]
mod fuzz;
mod listen;
mod media;
mod name;
mod origin;
mod pace;
mod reply;
mod rules;
mod seats;
mod sending;
mod site;
mod styles;
mod tree;

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::listen::Listener;
use self::site::Site;
use crate::config::file_proxy::FileProxy;
use crate::error::{Error, Kind, Result};

/// After which time what could not be served is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// How long those who are being answered are waited for when another listener takes an address.
const GRACE: Duration = Duration::from_secs(30);

/// File proxies that are served.
pub struct Server {
    runtime: Option<Runtime>,
    wanted: watch::Sender<Vec<FileProxy>>,
    stop: CancellationToken,
    keeper: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves these, in threads of its own.
    pub fn start(proxies: Vec<FileProxy>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads())
            .max_blocking_threads(32)
            .thread_name("file-proxy")
            .enable_all()
            .build()
            .map_err(|error| {
                Error::new(Kind::Internal, "the file proxy's threads cannot be started")
                    .because(error)
            })?;
        let stop = CancellationToken::new();
        let mut served = Vec::new();
        let entered = runtime.enter();
        for proxy in &proxies {
            let begun = Site::open(proxy, None).and_then(|site| Served::begin(proxy, site, &stop));
            match begun {
                Ok(one) => served.push(one),
                Err(error) => {
                    drop(entered);
                    runtime.shutdown_background();
                    return Err(error);
                }
            }
        }
        drop(entered);
        let (wanted, looked) = watch::channel(proxies);
        let keeper = runtime.spawn(keep(served, looked, stop.clone()));
        Ok(Self {
            runtime: Some(runtime),
            wanted,
            stop,
            keeper: Some(keeper),
        })
    }

    /// Where to say that others are to be served from now on. What stays as it is goes on.
    pub fn wanted(&self) -> watch::Sender<Vec<FileProxy>> {
        self.wanted.clone()
    }

    /// Takes no more requests, and waits for those that are being answered, but no longer than this.
    pub async fn stop(&mut self, grace: Duration) {
        self.stop.cancel();
        if let Some(keeper) = self.keeper.take() {
            let _ = tokio::time::timeout(grace, keeper).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(runtime) = self.runtime.take() {
            // Tasks end here, and what they had begun is removed.
            runtime.shutdown_background();
        }
    }
}

fn threads() -> usize {
    std::thread::available_parallelism()
        .map_or(2, std::num::NonZero::get)
        .min(8)
}

/// One that is served.
struct Served {
    proxy: FileProxy,
    site: Arc<Site>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Served {
    /// In a runtime.
    fn begin(proxy: &FileProxy, site: Site, stop: &CancellationToken) -> Result<Self> {
        let listener = Listener::bind(&proxy.listen)?;
        let (site, stop) = (Arc::new(site), stop.child_token());
        let (of_task, until) = (site.clone(), stop.clone());
        let task = tokio::spawn(async move {
            listener.serve(of_task.clone(), until).await;
            of_task.landed().await;
        });
        tracing::info!(root = %proxy.root.display(), listen = ?proxy.listen, "file proxy is ready");
        Ok(Self {
            proxy: proxy.clone(),
            site,
            stop,
            task,
        })
    }
}

/// Has those served that are wanted, until it is told to stop; then it waits for all who are being answered.
async fn keep(
    mut served: Vec<Served>,
    mut looked: watch::Receiver<Vec<FileProxy>>,
    stop: CancellationToken,
) {
    loop {
        let is_complete = served.len() == looked.borrow().len();
        tokio::select! {
            () = stop.cancelled() => break,
            changed = looked.changed() => if changed.is_err() {
                stop.cancelled().await;
                break;
            },
            () = tokio::time::sleep(AGAIN), if !is_complete => {}
        }
        let wanted = looked.borrow_and_update().clone();
        served = change(served, &wanted, &stop).await;
    }
    for one in served {
        let _ = one.task.await;
    }
}

async fn change(
    served: Vec<Served>,
    wanted: &[FileProxy],
    stop: &CancellationToken,
) -> Vec<Served> {
    let (mut staying, going): (Vec<_>, Vec<_>) = served
        .into_iter()
        .partition(|one| wanted.contains(&one.proxy) && !one.task.is_finished());
    for one in &going {
        tracing::info!(root = %one.proxy.root.display(), listen = ?one.proxy.listen, "file proxy ends");
        one.stop.cancel();
    }
    for proxy in wanted {
        if staying.iter().any(|one| one.proxy == *proxy) {
            continue;
        }
        let before = going.iter().find(|one| one.proxy.root == proxy.root);
        let before = before.map(|one| one.site.clone());
        let of_site = proxy.clone();
        let opened =
            tokio::task::spawn_blocking(move || Site::open(&of_site, before.as_deref())).await;
        let opened = opened.unwrap_or_else(|error| {
            Err(Error::new(Kind::Internal, "a file proxy cannot be opened").because(error))
        });
        let mut begun = opened.and_then(|site| Served::begin(proxy, site, stop));
        // Its predecessor may be about to leave.
        if begun.is_err() {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let before = going.iter().find(|one| one.proxy.root == proxy.root);
            let again = Site::open(proxy, before.map(|one| &*one.site));
            begun = again.and_then(|site| Served::begin(proxy, site, stop));
        }
        match begun {
            Ok(one) => staying.push(one),
            Err(error) => {
                tracing::error!(%error, "a file proxy cannot be started, and is tried again");
            }
        }
    }
    for one in going {
        // Those who are being answered; what is still to be sent then is cut off.
        tokio::spawn(async move {
            let abort = one.task.abort_handle();
            if tokio::time::timeout(GRACE, one.task).await.is_err() {
                abort.abort();
            }
        });
    }
    staying
}

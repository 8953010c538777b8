//! The composition root: configuration in, a running gateway out.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::http;
use crate::http::listener::{self, Stop};
use crate::ledger::{Budgets, Ledger, LedgerError, Now};
use crate::minds::{LoadError, Minds};
use crate::telemetry::{Book, Metrics};
use crate::upstream::{BuildError, Upstream};

pub mod classify;
pub mod consider;
pub mod conversations;
pub mod feedback;
pub mod lately;
pub mod learning;
pub mod replay;
mod shadow;

pub use consider::Considered;
use conversations::Conversations;
use lately::Lately;
use learning::Learning;

/// Requests that are known before the ledger has written them.
const ASKED: usize = 32_768;

/// What every request needs, built once.
pub struct Gateway {
    pub(crate) config: Config,
    pub(crate) minds: Minds,
    pub(crate) upstream: Upstream,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) conversations: Conversations,
    /// Requests that feedback may come on, and whose they are; older ones are in the ledger.
    asked: Lately<String, Option<String>>,
    /// Routes that learn.
    pub(crate) learning: Option<Arc<Learning>>,
    /// Where requests write themselves down.
    pub(crate) book: Option<Book>,
    pub(crate) budgets: Budgets,
    /// What goes on after an answer; the drain waits for it.
    pub(crate) tasks: TaskTracker,
    permits: Arc<Semaphore>,
    stop: Stop,
}

/// Why a gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Minds(#[from] LoadError),
    #[error(transparent)]
    Backend(#[from] BuildError),
    #[error("{key} = \"{address}\": {error}")]
    Bind { key: &'static str, address: SocketAddr, error: io::Error },
    #[error("[ledger]: {0}")]
    Ledger(#[from] LedgerError),
    #[error("loading the minds stopped unexpectedly")]
    Interrupted,
}

/// A gateway that serves until [`Running::shutdown`].
pub struct Running {
    /// Where clients reach it.
    pub public: SocketAddr,
    /// Where operators reach it.
    pub admin: SocketAddr,
    gateway: Arc<Gateway>,
    ledger: Option<Ledger>,
    public_tasks: TaskTracker,
    admin_stop: Stop,
    admin_tasks: TaskTracker,
}

impl Gateway {
    /// Loads the minds, builds the clients, binds both listeners and serves in the background.
    pub async fn start(config: Config) -> Result<Running, StartError> {
        // Bind first: a port that is taken should not wait for models to load.
        let (public, public_addr) = bind("server.listen", config.server.listen).await?;
        let (admin, admin_addr) = bind("server.admin_listen", config.server.admin_listen).await?;
        let upstream = Upstream::new(&config)?;
        let ledger = config.ledger.as_ref().map(Ledger::open).transpose()?;
        let learning = Learning::open(&config)?.map(Arc::new);
        let budgets = Budgets::open(&config, Now::read())?;
        let loading = config.clone();
        let minds = tokio::task::spawn_blocking(move || Minds::load(&loading));
        let minds = minds.await.map_err(|_| StartError::Interrupted)??;
        let stop = Stop::default();
        let public_tasks = TaskTracker::new();
        let gateway = Arc::new(Self {
            tasks: public_tasks.clone(),
            permits: Arc::new(Semaphore::new(config.server.max_requests)),
            metrics: Metrics::new(minds.metrics()),
            book: ledger.as_ref().map(Ledger::book),
            conversations: Conversations::default(),
            learning,
            asked: Lately::new(ASKED),
            budgets,
            minds,
            upstream,
            stop: stop.clone(),
            config,
        });
        if let (Some(learning), Some(book)) = (&gateway.learning, &gateway.book) {
            let stop = gateway.stop.drain.clone();
            public_tasks.spawn(Arc::clone(learning).study(gateway.config.clone(), book.clone(), stop));
        }
        let limits = gateway.config.server.clone();
        let router = http::public(Arc::clone(&gateway));
        public_tasks.spawn(listener::serve(public, router, limits.clone(), stop, public_tasks.clone()));
        let (admin_stop, admin_tasks) = (Stop::default(), TaskTracker::new());
        let router = http::admin(Arc::clone(&gateway));
        admin_tasks.spawn(listener::serve(admin, router, limits, admin_stop.clone(), admin_tasks.clone()));
        Ok(Running { public: public_addr, admin: admin_addr, gateway, ledger, public_tasks, admin_stop, admin_tasks })
    }

    /// One request's place among those in flight; `None` at the limit.
    pub(crate) fn admit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).try_acquire_owned().ok()
    }

    /// What routes have learnt, and the lot that is drawn for a request.
    pub(crate) fn learning(&self, draw: f64) -> Option<(&Learning, f64)> {
        Some((self.learning.as_deref()?, draw))
    }

    /// Reasons that nobody waits for get lines of their own in the log.
    pub(crate) fn reasons_follow(&self, considered: &mut Considered, request_id: &str) {
        considered.reasons_follow(&self.tasks, &self.stop.drain, request_id);
    }

    /// No new work is welcome: the gateway is about to stop.
    pub(crate) fn draining(&self) -> bool {
        self.stop.drain.is_cancelled()
    }
}

impl Running {
    /// Stops accepting, lets requests and streams finish within `server.drain`, then stops.
    /// Health and metrics answer until the end. False when something had to be cut off.
    pub async fn shutdown(self) -> bool {
        self.gateway.stop.drain.cancel();
        self.public_tasks.close();
        let drained = tokio::time::timeout(self.gateway.config.server.drain, self.public_tasks.wait()).await.is_ok();
        self.gateway.stop.cut.cancel();
        self.admin_stop.drain.cancel();
        self.admin_stop.cut.cancel();
        self.admin_tasks.close();
        if let Some(ledger) = self.ledger {
            // Blocks; a task that is cut off has entered what it had.
            let _ = tokio::task::spawn_blocking(|| ledger.close()).await;
        }
        drained
    }
}

async fn bind(key: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let bound = async {
        let listener = TcpListener::bind(address).await?;
        let local = listener.local_addr()?;
        Ok((listener, local))
    };
    bound.await.map_err(|error| StartError::Bind { key, address, error })
}

#[cfg(test)]
mod tests;

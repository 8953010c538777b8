//! Accepting connections, and letting them finish.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::patience::Patient;
use crate::config::Server;

/// The two stages of stopping.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop {
    /// No more connections; the requests that run are finished.
    pub(crate) drain: CancellationToken,
    /// Not even that: what still runs is cut off and looks it.
    pub(crate) cut: CancellationToken,
}

/// Serves `router` until it shall stop; then takes no more connections and finishes the requests
/// that run. Every connection is a task of `tracker`.
pub(crate) async fn serve(listener: TcpListener, router: Router, limits: Server, stop: Stop, tracker: TaskTracker) {
    let connections = Arc::new(Semaphore::new(limits.max_connections));
    let mut http = http1::Builder::new();
    // A client that half-closes has left: that is how its departure reaches the backend.
    http.half_close(false)
        .timer(TokioTimer::new())
        .header_read_timeout(limits.read_timeout)
        // Beyond these the parser hangs up; up to the configured limit `intake::headers` answers.
        .max_buf_size(limits.max_header_bytes.saturating_mul(4).max(64 * 1024))
        .max_headers(400);
    let http = Arc::new(http);
    loop {
        let accepted = tokio::select! {
            () = stop.drain.cancelled() => return,
            accepted = accept(&listener, &connections) => accepted,
        };
        let (stream, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: waiting lets some close.
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let stream = Patient::new(stream, limits.write_timeout);
        tracker.spawn(connection(Arc::clone(&http), stream, router.clone(), stop.clone(), permit));
    }
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, OwnedSemaphorePermit)> {
    // The permit first: beyond the limit connections wait in the kernel's queue.
    let permit = Arc::clone(connections).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    // Without this, small writes wait up to 40 ms for the peer's delayed acknowledgement.
    stream.set_nodelay(true)?;
    Ok((stream, permit))
}

async fn connection(
    http: Arc<http1::Builder>,
    stream: Patient,
    router: Router,
    stop: Stop,
    _permit: OwnedSemaphorePermit,
) {
    let connection = http.serve_connection(stream, TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.drain.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = stop.cut.cancelled() => return,
            }
        }
    };
    if let Err(error) = ended {
        // Clients hang up in the middle of things; that is theirs to do.
        tracing::debug!(%error, "connection ended early");
    }
}

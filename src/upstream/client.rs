//! The HTTP client, and the only file that knows which one it is.
//!
//! It does nothing on its own: no redirects, no environment proxies, no decompression,
//! no retries. A relay that helps is a relay that changes things.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use http_body::{Body, Frame, SizeHint};
use reqwest::Url;

/// A connection pool to one backend.
#[derive(Clone, Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
}

/// Why a client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("backend {base_url}: {reason}")]
pub struct BuildError {
    base_url: String,
    reason: String,
}

/// Why a call or its body failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientError {
    Timeout,
    /// Refused, unresolvable, reset, closed early, TLS failure.
    Broken,
}

impl Client {
    pub(super) fn new(base_url: &str, connect: Duration) -> Result<Self, BuildError> {
        let fail = |reason: String| BuildError { base_url: base_url.to_owned(), reason };
        let base = Url::parse(base_url).map_err(|error| fail(error.to_string()))?;
        install_tls();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .retry(reqwest::retry::never())
            .tcp_nodelay(true)
            .connect_timeout(connect)
            .pool_idle_timeout(Duration::from_secs(60))
            .build()
            .map_err(|error| fail(error.to_string()))?;
        Ok(Self { http, base })
    }

    /// Sends a POST; returns once the response's headers are in. Dropping the future, or
    /// later the body, closes the connection.
    pub(super) async fn post(
        &self,
        path: &str,
        query: Option<&str>,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<http::Response<Incoming>, ClientError> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        url.set_query(query);
        let request = self.http.request(Method::POST, url).headers(headers).body(body);
        let response = request.send().await.map_err(|error| ClientError::from(&error))?;
        Ok(http::Response::from(response).map(Incoming))
    }
}

/// Chooses the process's TLS implementation; again is a no-op. Every HTTP client needs it
/// first, the span exporter's too.
pub fn install_tls() {
    // Err only says that one is installed already.
    drop(rustls::crypto::ring::default_provider().install_default());
}

impl From<&reqwest::Error> for ClientError {
    fn from(error: &reqwest::Error) -> Self {
        if error.is_timeout() { Self::Timeout } else { Self::Broken }
    }
}

/// A response body as it arrives.
#[derive(Debug)]
pub(super) struct Incoming(reqwest::Body);

impl Body for Incoming {
    type Data = Bytes;
    type Error = ClientError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ClientError>>> {
        Pin::new(&mut self.0).poll_frame(cx).map_err(|error| ClientError::from(&error))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

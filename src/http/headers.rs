//! Which headers pass, both ways, and the ones the gateway adds.

use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, DATE, EXPECT,
    HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

/// A client's key for the gateway itself, for clients whose `Authorization` is the backend's.
pub(super) const GATEWAY_KEY: &str = "x-mom-key";

/// What names of credential headers contain.
const CREDENTIALS: [&str; 7] =
    ["api-key", "auth-token", "access-token", "security-token", "session-token", "subscription-key", "secret"];

/// The client's headers as they go upstream: without hop-by-hop headers, without what
/// describes this connection, and without credentials. Those are the backend's own, or
/// travel apart where its configuration asks for the client's.
pub(super) fn upstream(client: &HeaderMap) -> HeaderMap {
    let named = connection_options(client);
    let dropped = |name: &HeaderName| {
        hop_by_hop(name)
            || named.iter().any(|option| option.eq_ignore_ascii_case(name.as_str()))
            || [HOST, CONTENT_LENGTH, EXPECT, AUTHORIZATION, COOKIE].contains(name)
            || name.as_str() == GATEWAY_KEY
            || CREDENTIALS.iter().any(|part| name.as_str().contains(part))
    };
    copy(client, |name| !dropped(name))
}

/// A backend's headers as they reach the client: what describes the body and what the
/// provider's documentation tells clients to read.
pub(super) fn downstream(backend: &HeaderMap) -> HeaderMap {
    copy(backend, |name| {
        [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_ENCODING, CACHE_CONTROL, DATE].contains(name)
            || matches!(name.as_str(), "x-request-id" | "x-should-retry")
            || ["retry-after", "x-ratelimit-", "openai-"].iter().any(|prefix| name.as_str().starts_with(prefix))
    })
}

fn copy(headers: &HeaderMap, keep: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    let kept = headers.iter().filter(|(name, _)| keep(name));
    let mut out = HeaderMap::with_capacity(headers.len());
    for (name, value) in kept {
        out.append(name, value.clone());
    }
    out
}

fn hop_by_hop(name: &HeaderName) -> bool {
    [CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE].contains(name)
        || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

fn connection_options(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|option| option.trim().to_owned()).collect()
}

/// The `x-mom-*` headers of a judged answer.
#[derive(Debug, Default)]
pub(super) struct Added(HeaderMap);

impl Added {
    pub(super) fn set(&mut self, name: &'static str, value: &str) {
        if value.is_empty() {
            return;
        }
        // Names from the configuration are checked there; whatever else is odd is left out
        // rather than failing an answer.
        if let Ok(value) = HeaderValue::try_from(value) {
            self.0.insert(HeaderName::from_static(name), value);
        }
    }

    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        headers.extend(self.0.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        pairs.collect()
    }

    #[test]
    fn credentials_and_hops_stay_behind() {
        let sent = upstream(&headers(&[
            ("connection", "close, X-Private"),
            ("x-private", "1"),
            ("keep-alive", "5"),
            ("authorization", "Bearer k"),
            ("x-mom-key", "k"),
            ("x-goog-api-key", "k"),
            ("x-amz-security-token", "k"),
            ("host", "gateway"),
            ("accept-encoding", "gzip"),
            ("x-custom", "stays"),
            ("openai-organization", "org"),
        ]));
        let names: Vec<_> = sent.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["accept-encoding", "x-custom", "openai-organization"]);
    }

    #[test]
    fn answers_carry_what_clients_are_told_to_read() {
        let seen = downstream(&headers(&[
            ("server", "nginx"),
            ("set-cookie", "a=b"),
            ("content-type", "application/json"),
            ("retry-after-ms", "5"),
            ("x-ratelimit-remaining-tokens", "1"),
            ("openai-processing-ms", "3"),
            ("x-mom-backend", "forged"),
        ]));
        let names: Vec<_> = seen.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["content-type", "retry-after-ms", "x-ratelimit-remaining-tokens", "openai-processing-ms"]);
    }
}

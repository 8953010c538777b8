//! The gateway under test: the library's own, started from TOML on ports of the system's
//! choosing.

use std::net::SocketAddr;

use mom::config::Config;
use mom::gateway::{Gateway, Running};

use crate::upstream::Upstream;

pub(crate) struct Mom {
    running: Running,
    config: tempfile::NamedTempFile,
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
}

/// Both listeners on port 0; more keys of `[server]` may follow.
pub(crate) const SERVER: &str = "[server]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n";

/// For tests that are not about judging.
pub(crate) const NO_MINDS: &str = r#"
[minds.brain]
enabled = false
[minds.jailbreak]
enabled = false
[minds.pii]
enabled = false
[minds.similarity]
enabled = false
[guard]
jailbreak = { action = "off" }
pii = { action = "off" }
"#;

impl Mom {
    /// One backend, `main`, over `upstream`; no minds.
    pub(crate) async fn over(upstream: &Upstream) -> Self {
        Self::over_with(upstream, "").await
    }

    /// The same, with more keys for `[backends.main]`.
    pub(crate) async fn over_with(upstream: &Upstream, keys: &str) -> Self {
        let backend = backend("main", upstream.addr, keys);
        Self::start(&format!("{SERVER}{NO_MINDS}{backend}{}", route("all", "\"main\""))).await
    }

    pub(crate) async fn start(toml: &str) -> Self {
        let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        std::fs::write(file.path(), toml).unwrap();
        let config = Config::load(file.path()).unwrap_or_else(|faults| panic!("{faults}\nin\n{toml}"));
        let running = Gateway::start(config).await.unwrap_or_else(|error| panic!("{error}\nwith\n{toml}"));
        Self { public: running.public, admin: running.admin, running, config: file }
    }

    /// The file it was started from.
    pub(crate) fn config_path(&self) -> &str {
        self.config.path().to_str().unwrap()
    }

    pub(crate) async fn shutdown(self) {
        self.running.shutdown().await;
    }
}

pub(crate) fn backend(name: &str, addr: SocketAddr, keys: &str) -> String {
    format!("[backends.{name}]\nbase_url = \"http://{addr}/v1\"\n{keys}\n")
}

/// A terminal route; `candidates` as in TOML, without the brackets.
pub(crate) fn route(name: &str, candidates: &str) -> String {
    format!("[[routes]]\nname = \"{name}\"\ncandidates = [{candidates}]\n")
}

/// A minimal chat request.
pub(crate) fn ask(model: &str) -> String {
    format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"hi"}}]}}"#)
}

/// A minimal streaming chat request.
pub(crate) fn ask_stream(model: &str) -> String {
    format!(r#"{{"model":"{model}","stream":true,"messages":[{{"role":"user","content":"hi"}}]}}"#)
}
